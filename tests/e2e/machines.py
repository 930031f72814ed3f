"""RAM machines that are built once and run hundreds of random graphs."""

from functools import cache

from gen.emit import verilog
from gen.machine import Machine
from rtl.config import Config
from sim.verilator import Simulator, build

__all__ = ["MACHINES", "MEMORY_BYTES", "built"]

MEMORY_BYTES = 1 << 20

_COMMON = {
    "patch_words": 256,
    "bias_words": 256,
    "scale_words": 256,
    "tables": 8,
    "exponents": 4,
    "softmax_groups": 256,
    "program_words": 256,
    "throttled": True,
}

MACHINES = {
    # one row, weights with zero points, eight bytes a beat
    "row": Config(
        rows=1, cols=8, depth=5, lanes=4, word_bytes=8, axi_bytes=8, weight_bits=9,
        buffer_words=(512, 512, 512), weight_words=1024, **_COMMON,
    ),
    # three rows, narrow channel, wide buffer words
    "rows": Config(
        rows=3, cols=4, depth=3, lanes=2, word_bytes=16, axi_bytes=4,
        buffer_words=(256, 256, 256), weight_words=2048, **_COMMON,
    ),
    # lanes that are no power of two, little weight memory: weights come in blocks
    "blocks": Config(
        rows=2, cols=6, depth=4, lanes=3, word_bytes=8, axi_bytes=8,
        buffer_words=(192, 192, 192), weight_words=160, **_COMMON,
    ),
    # next to no buffers: tensors are spilled, on another channel than weights come in
    "scarce": Config(
        rows=1, cols=4, depth=9, lanes=4, word_bytes=16, axi_bytes=16, channels=2,
        buffer_words=(20, 20, 20), weight_words=512, **_COMMON,
    ),
    # int16: sums, products, interpolated tables and softmax of rows
    "wide": Config(
        rows=1, cols=6, depth=3, lanes=2, word_bytes=16, axi_bytes=8, element_bytes=2,
        weight_bits=16, accumulator_bits=48, multiply=True,
        buffer_words=(320, 320, 320), weight_words=1024, **_COMMON,
    ),
    # int16, two rows, little memory: weights come in blocks, tensors are spilled
    "wide-rows": Config(
        rows=2, cols=4, depth=1, lanes=1, word_bytes=8, axi_bytes=8, element_bytes=2,
        weight_bits=16, accumulator_bits=48, multiply=True,
        buffer_words=(96, 96, 96), weight_words=512, **_COMMON,
    ),
}  # fmt: skip


@cache
def built(name: str) -> tuple[Machine, Simulator]:
    """The machine and its simulator, from the cache after the first time."""
    machine = Machine.general(MACHINES[name])
    simulator = build(
        verilog(machine.accelerator()),
        channels=machine.config.channels,
        data_bytes=machine.config.axi_bytes,
        memory_bytes=MEMORY_BYTES,
        throttles=len(machine.config.units),
    )
    return machine, simulator
