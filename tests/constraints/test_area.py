"""Area is counted from primitives, and compared with parts."""

import json
from dataclasses import replace

import numpy as np
import pytest

from constraints.area import Area, fit
from constraints.boards import board
from constraints.nextpnr import device, result
from constraints.pins import clock_hz, lpf, pins
from constraints.steps import Step
from constraints.synth import area_of
from gen.emit import TOP, component_verilog
from gen.errors import UserError
from gen.unrolled.search import search
from rtl.unrolled.product import ConstantProduct, row_source

SMALL = """
module accelerator (input clk, input [7:0] a, b, input [5:0] addr, input we, output reg [15:0] y,
                    output reg [31:0] q);
  (* ram_style = "block" *) reg [31:0] memory [1023:0];
  reg signed [15:0] p;
  always @(posedge clk) begin
    p <= $signed(a) * $signed(b);
    y <= p;
    if (we) memory[{addr, addr[3:0]}] <= {a, b, a, b};
    q <= memory[{addr, a[3:0]}];
  end
endmodule
"""


def quiet(words: str) -> None:
    pass


def test_primitives_count_as_what_they_occupy():
    cells = {"LUT6": 5, "LUT2": 3, "INV": 2, "RAM32M": 2, "SRL16E": 4, "FDRE": 7, "CARRY4": 9}
    area = Area.of(cells | {"RAMB18E1": 3, "RAMB36E1": 1, "DSP48E1": 6})
    assert area == Area(22, 8, 7, 6, 2.5, 0)
    assert Area.of({"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "DP16KD": 4}).luts == 24
    assert Area.of({"URAM288": 2}).ultra == 2


def test_a_memory_of_unknown_size_is_no_silent_zero():
    with pytest.raises(ValueError, match="'RAM512X9Q' takes is not known"):
        Area.of({"RAM512X9Q": 1})


@pytest.mark.parametrize(
    ("name", "needed", "message"),
    [
        ("multipliers", 200, "needs 200 multipliers of 156, 44 too many; .* at most 78%"),
        ("blocks", 300, "needs 300 blocks of 208, 92 too many; .* smaller --onchip"),
        ("luts", 90_000, "needs 90,000 luts of 83,640, 6,360 too many"),
    ],
)
def test_what_does_not_fit_says_by_how_much(name, needed, message):
    area = replace(Area(1, 0, 1, 1, 1, 0), **{name: needed})
    with pytest.raises(UserError, match=message):
        fit(area, board("ulx3s"))


@pytest.mark.parametrize(("family", "blocks"), [("xcup", 1), ("ecp5", 2)])
def test_yosys_maps_a_product_and_a_memory(family, blocks, tmp_path):
    area = area_of(SMALL, family, tmp_path, quiet).area
    assert area.multipliers == 1
    assert area.blocks == blocks
    assert area.luts < 60
    before = (tmp_path / "cells.json").stat().st_mtime_ns
    assert area_of(SMALL, family, tmp_path, quiet).area == area
    assert (tmp_path / "cells.json").stat().st_mtime_ns == before


def test_an_unknown_family_is_named(tmp_path):
    with pytest.raises(UserError, match="family 'ice40' is not known; there are xc7, xcu"):
        area_of(SMALL, "ice40", tmp_path, quiet)


def test_parts_become_options_of_nextpnr():
    assert device("LFE5U-85F-6BG381C") == ("--85k", "--speed", "6", "--package", "CABGA381")
    assert device("LFE5UM5G-85F-8BG554I")[0] == "--um5g-85k"
    with pytest.raises(ValueError, match="'xc7a100t' is not an ECP5"):
        device("xc7a100t")


def test_the_slowest_clock_of_a_report_counts():
    hop = {"type": "logic", "delay": 0.5, "from": {"cell": "a"}, "to": {"cell": "b"}}
    net = {"type": "routing", "delay": 1.5, "net": "n", "from": {"cell": "a"}, "to": {"cell": "b"}}
    report = {
        "fmax": {"clk": {"achieved": 101.5}, "fast": {"achieved": 300.0}},
        "critical_paths": [
            {"from": "posedge fast", "to": "posedge fast", "path": []},
            {"from": "posedge clk", "to": "posedge clk", "path": [hop, net]},
        ],
        "utilization": {"TRELLIS_FF": {"used": 5, "available": 9}, "DCUA": {"used": 0}},
    }
    found = result(3, json.loads(json.dumps(report)))
    assert (found.seed, found.fmax_mhz, found.used) == (3, 101.5, {"TRELLIS_FF": 5})
    assert found.path == (("logic", 0.5, "a"), ("routing", 1.5, "n"))


def test_pins_for_nextpnr():
    one = board("ulx3s")
    text = lpf(pins(one), clock_hz(one))
    assert 'LOCATE COMP "clk" SITE "G2";' in text
    assert 'FREQUENCY PORT "clk" 25000000 HZ;' in text
    assert text.count("IO_TYPE=LVCMOS33") == 3


def test_a_board_without_a_uart_says_what_it_has():
    with pytest.raises(UserError, match="kcu105 has no UART at its FPGA; its host is axi"):
        pins(board("kcu105"))


def test_a_step_names_its_log():
    assert Step("route-3", ("x",), (), ()).log == "route-3.log"


def test_rows_of_unrolled_products_take_what_the_area_model_says(tmp_path):
    matrix = np.random.default_rng(3).integers(-90, 90, (6, 4))
    graph = search(matrix, [(-128, 127)] * 6)
    source = component_verilog(ConstantProduct(graph), TOP, complete=False) + row_source()
    outcome = area_of(source, "xcup", tmp_path, lambda words: None)
    assert outcome.area.luts == graph.area > 0
