"""Patch rings: what the packer wrote, read row by row in step with the control."""

from amaranth import Array as Choice
from amaranth import Module, Signal
from amaranth.lib import data

from .config import Config
from .delay import delayed
from .memory import Memory

__all__ = ["PATCH_LATENCY", "patch_rings"]

PATCH_LATENCY = 2
"""Cycles from an address to the first row's word."""


def patch_rings(
    m: Module,
    config: Config,
    address: Signal,
    row_enable: data.View,
    bank_address: data.View,
    bank_data: data.View,
) -> list[Signal]:
    """A ring of two banks for each row, and the words read from it; the address moves down one row
    a cycle."""
    width = config.element_bits * config.depth
    rows = []
    for r in range(config.rows):
        banks = []
        for b in range(2):
            bank = Memory(width, depth=config.patch_words // 2)
            m.submodules[f"patch_{r}_{b}"] = bank
            m.d.comb += [
                bank.read_address.eq(address[1:]),
                bank.write_enable.eq(row_enable[r][b]),
                bank.write_address.eq(bank_address[b]),
                bank.write_data.eq(bank_data[b]),
            ]
            banks.append(bank.read_data)
        chosen = Signal(width, name=f"patch_{r}")
        odd = delayed(m, address[0], PATCH_LATENCY, f"patch_odd_{r}")
        m.d.comb += chosen.eq(Choice(banks)[odd])
        rows.append(chosen)
        if r + 1 < config.rows:
            later = Signal.like(address, name=f"patch_address_{r + 1}")
            m.d.sync += later.eq(address)
            address = later
    return rows
