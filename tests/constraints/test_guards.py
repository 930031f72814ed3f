"""Area of a few small designs, exactly, and their clocks, so that a change that costs any is seen.

Where one changes on purpose, the new figure belongs here.
"""

import pytest

from constraints.boards import board
from constraints.synth import area_of, core_speed_of
from gen.emit import component_verilog
from rtl.lane import Lane
from rtl.product import products
from rtl.tile import Tile
from tests.rtl.blocks import config

AREAS = {("tile", "xcup"): (737, 1281, 16), ("lane", "xc7"): (1271, 1273, 10)}
"""LUTs, flip-flops and multipliers."""

CLOCKS = {"tile": 163.8, "lane": 174.3}
"""MHz on ECP5 of speed 6, alone."""

MARGIN = 0.9
"""Placement scatters by some percent with any change."""


def quiet(words: str) -> None:
    pass


def verilog(name: str) -> str:
    """The design of that name, as the module that flows expect."""
    c = config(rows=2, cols=8, depth=8, lanes=4, accumulator_bits=24)
    if name == "lane":
        return component_verilog(Lane(c), "accelerator", shared=products(Lane.products(c)))
    modules = Tile.shared(c)
    return component_verilog(modules.pop("tile"), "accelerator", shared=modules)


@pytest.mark.parametrize(("name", "family"), AREAS)
def test_area_is_what_it_was(name, family, tmp_path):
    area = area_of(verilog(name), family, tmp_path, quiet).area
    assert (area.luts, area.flip_flops, area.multipliers) == AREAS[name, family]


@pytest.mark.parametrize("name", CLOCKS)
def test_clock_is_about_what_it_was(name, tmp_path):
    one = board("ulx3s-85f")
    out = core_speed_of(verilog(name), one.part, one.chip, tmp_path, quiet, clock_mhz=200)
    assert out.routes[0].fmax_mhz >= MARGIN * CLOCKS[name]
