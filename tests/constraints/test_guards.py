"""Area of a few small designs, exactly, so that a change that costs any is seen.

Where one changes on purpose, the new figure belongs here.
"""

import pytest

from constraints.synth import area_of
from gen.emit import component_verilog
from rtl.lane import Lane
from rtl.product import products
from rtl.tile import Tile
from tests.rtl.blocks import config

AREAS = {("tile", "xcup"): (765, 1281, 16), ("lane", "xc7"): (1263, 1273, 10)}
"""LUTs, flip-flops and multipliers."""


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
