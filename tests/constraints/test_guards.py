"""Area and clock of a few small designs, so that a change that costs either is seen.

Areas are exact: where one changes on purpose, the new figure belongs here. Clocks are those of one
seed on ECP5-85 speed 6, out of context, less a tenth.
"""

import pytest

from constraints.parts import PARTS
from constraints.synth import area_of, core_speed_of
from gen.emit import component_verilog
from rtl.core import Core
from rtl.gather import Gather
from rtl.lane import Lane
from rtl.product import Product, products
from rtl.sequencer import Sequencer
from rtl.tile import Tile
from rtl.words import word_fields
from tests.rtl.blocks import config

PART = "LFE5U-85F-6BG381C"


def quiet(words: str) -> None:
    pass


def verilog(name: str) -> str:
    """The design of that name, as the module that flows expect."""
    c = config(rows=2, cols=8, depth=8, lanes=4, accumulator_bits=24, token_bits=12)
    fields = word_fields(c)
    if name == "lane":
        return component_verilog(Lane(c), "accelerator", shared=products(Lane.products(c)))
    if name == "tile":
        modules = Tile.shared(c)
        return component_verilog(modules.pop("tile"), "accelerator", shared=modules)
    if name == "product":
        return component_verilog(Product(24, 32), "accelerator")
    component = {
        "sequencer": lambda: Sequencer(64, depth=32),
        "core": lambda: Core(c, fields["core"]),
        "gather": lambda: Gather(c, fields["gather"]),
    }[name]()
    return component_verilog(component, "accelerator")


AREAS = {
    ("tile", "xcup"): (0, 0, 0),
    ("lane", "xc7"): (0, 0, 0),
    ("gather", "xc7"): (0, 0, 0),
    ("core", "ecp5"): (0, 0, 0),
    ("sequencer", "ecp5"): (0, 0, 0),
}
"""LUTs, flip-flops and multipliers."""

CLOCKS = {"lane": 100, "core": 100, "gather": 100}
"""MHz."""


@pytest.mark.parametrize(("name", "family"), AREAS)
def test_area_is_what_it_was(name, family, tmp_path):
    area = area_of(verilog(name), family, tmp_path, quiet).area
    assert (area.luts, area.flip_flops, area.multipliers) == AREAS[name, family]


@pytest.mark.parametrize("name", CLOCKS)
def test_clock_is_not_below_what_it_was(name, tmp_path):
    chip = PARTS[PART]
    outcome = core_speed_of(verilog(name), PART, chip, tmp_path, quiet)
    assert outcome.routes[0].fmax_mhz >= CLOCKS[name]
