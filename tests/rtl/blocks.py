"""Small machines for the benches, and their blocks as Verilog."""

from collections.abc import Mapping
from typing import Any

from amaranth.lib import wiring

from gen.emit import component_verilog
from rtl.config import Config
from rtl.words import Fields
from sim.cocotb_runner import run_bench

__all__ = ["bench", "config", "pack", "stored", "unpack"]


def config(**changes: Any) -> Config:
    """A small machine, with ``changes``."""
    sizes: dict[str, Any] = {
        "rows": 2,
        "cols": 4,
        "depth": 3,
        "lanes": 2,
        "word_bytes": 8,
        "axi_bytes": 4,
        "buffer_words": (64, 64, 64),
        "patch_words": 16,
        "weight_words": 32,
        "bias_words": 16,
        "scale_words": 16,
        "softmax_groups": 8,
        "exponents": 1,
        "token_bits": 12,
    }
    return Config(**sizes | changes)


def bench(
    component: wiring.Component,
    module: str,
    seed: int,
    *,
    shared: Mapping[str, wiring.Component] | None = None,
    **environment: Any,
) -> None:
    """Run the cocotb tests of ``tests.rtl.<module>`` on ``component``, as module ``block``."""
    print(f"seed {seed}")
    # cocotb makes every wire public, and a public one that is assigned in parts cannot be split.
    lint = "/* verilator lint_off UNOPTFLAT */\n"
    run_bench(
        lint + component_verilog(component, "block", shared=shared),
        f"tests.rtl.{module}",
        top="block",
        seed=seed,
        environment={name.upper(): str(value) for name, value in environment.items()},
    )


def pack(members: Mapping[str, int], values: Mapping[str, int]) -> int:
    """Bits of a structure whose ``members`` are widths, first member lowest."""
    if values.keys() - members.keys():
        raise ValueError(f"values must be among {list(members)}, not {list(values)}")
    bits, at = 0, 0
    for name, width in members.items():
        bits |= (values.get(name, 0) & ((1 << width) - 1)) << at
        at += width
    return bits


def unpack(members: Mapping[str, int], bits: int) -> dict[str, int]:
    """The members of a structure, unsigned."""
    values = {}
    for name, width in members.items():
        values[name] = bits & ((1 << width) - 1)
        bits >>= width
    return values


def stored(fields: Fields, values: Mapping[str, int]) -> int:
    """Bits of a schedule word with no constants; absent fields are 0."""
    return pack({name: field.width for name, field in fields.items()}, values)
