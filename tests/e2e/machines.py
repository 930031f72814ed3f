"""RAM machines that are built once and run hundreds of random graphs."""

from dataclasses import replace
from functools import cache

from gen.emit import verilog
from gen.machine import Machine
from rtl.config import Config, Pattern
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

_PATTERNS = (
    # depthwise 3 x 3: blocks of eight, six and five channels; two pixels of four, at both strides
    Pattern(1, 0, 3, 8, 3, channels=8),
    Pattern(1, 0, 3, 6, 3, channels=6),
    Pattern(1, 0, 3, 5, 3, channels=5),
    Pattern(1, 4, 3, 4, 3, channels=4),
    Pattern(1, 8, 3, 4, 3, channels=4),
    # two outputs for each of four channels; taps that lie two pixels apart
    Pattern(2, 0, 3, 4, 3, channels=4),
    Pattern(1, 0, 3, 16, 3, channels=8),
    # depthwise 4 x 4: line by line, or half of each line in a step
    Pattern(1, 0, 4, 8, 1, channels=8),
    Pattern(1, 4, 2, 4, 4, channels=4),
    Pattern(1, 4, 2, 4, 4, start=8, channels=4),
    # few channels: 3 x 3 of one, two and three, 5 x 5 of one
    Pattern(4, 1, 3, 1, 3),
    Pattern(4, 2, 3, 1, 3),
    Pattern(2, 2, 3, 1, 3),
    Pattern(2, 2, 3, 1, 3, start=3),
    Pattern(4, 3, 9),
    Pattern(4, 6, 9),
    Pattern(2, 1, 5),
)


def _pair(first: Config, **second) -> Config:
    return replace(first, others=(replace(first, **second),))


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
    # columns with operands of their own, from segments of up to three beats
    "segments": Config(
        rows=1, cols=8, depth=9, lanes=8, word_bytes=16, axi_bytes=8,
        patterns=_PATTERNS, segment=40, buffer_words=(256, 256, 256), weight_words=256, **_COMMON,
    ),
    # tensors of which a few rows are on chip at a time, or that stream from off chip and back
    "rings": Config(
        rows=2, cols=4, depth=6, lanes=4, word_bytes=8, axi_bytes=4, rings=True,
        buffer_words=(256, 256, 256), weight_words=1024, **_COMMON,
    ),
    # the same of tensors on segments
    "ring-segments": Config(
        rows=1, cols=8, depth=9, lanes=8, word_bytes=16, axi_bytes=8, rings=True,
        patterns=_PATTERNS, segment=40, buffer_words=(256, 256, 256), weight_words=256, **_COMMON,
    ),
    # two cores of different shape, which take turns
    "pair": _pair(
        Config(
            rows=1, cols=6, depth=5, lanes=2, word_bytes=8, axi_bytes=8, core_count=2,
            buffer_words=(384, 384, 384), weight_words=1024, **_COMMON,
        ),
        rows=2, cols=4, depth=3, lanes=4, weight_words=640,
    ),
    # int16: sweeps that show pixels twice and pool, and a lane for every element of a copy
    "wide-segments": Config(
        rows=1, cols=6, depth=9, lanes=6, word_bytes=32, axi_bytes=8, element_bytes=2,
        weight_bits=16, accumulator_bits=48, multiply=True, pool=8, doubled=True,
        patterns=(
            Pattern(1, 1, 3, 1, 3), Pattern(1, 2, 3, 1, 3), Pattern(1, 0, 3, 1, 3),
            Pattern(2, 2, 6), Pattern(2, 1, 3, 1, 3),
            Pattern(1, 1, 1), Pattern(1, 2, 1), Pattern(2, 1, 1), Pattern(2, 2, 1),
        ),
        segment=20, buffer_words=(128, 128, 128), weight_words=256, **_COMMON,
    ),
    # and in rings
    "wide-rings": Config(
        rows=1, cols=6, depth=9, lanes=6, word_bytes=32, axi_bytes=8, element_bytes=2,
        weight_bits=16, accumulator_bits=48, multiply=True, pool=8, doubled=True, rings=True,
        patterns=(
            Pattern(1, 1, 3, 1, 3), Pattern(1, 2, 3, 1, 3), Pattern(1, 0, 3, 1, 3),
            Pattern(2, 2, 6), Pattern(2, 1, 3, 1, 3),
            Pattern(1, 1, 1), Pattern(1, 2, 1), Pattern(2, 1, 1), Pattern(2, 2, 1),
        ),
        segment=20, buffer_words=(128, 128, 128), weight_words=256, **_COMMON,
    ),
    # and row by row: an array so flat that each line of a window is a step of its own
    "wide-lines": Config(
        rows=1, cols=6, depth=3, lanes=6, word_bytes=32, axi_bytes=8, element_bytes=2,
        weight_bits=16, accumulator_bits=48, multiply=True, pool=8, doubled=True, rings=True,
        patterns=(
            Pattern(1, 1, 3), Pattern(1, 2, 3), Pattern(2, 1, 3), Pattern(2, 2, 3),
            Pattern(2, 2, 3, start=3), Pattern(1, 1, 1), Pattern(1, 2, 1), Pattern(2, 1, 1),
        ),
        segment=20, buffer_words=(128, 128, 128), weight_words=256, **_COMMON,
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
