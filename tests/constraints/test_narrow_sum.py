"""Sums of four bits in ECP5's carry cells, and carry chains without ends that nobody reads."""

import json
from importlib import resources
from pathlib import Path

import pytest

from constraints.area import yosys
from constraints.nextpnr import trimmed
from constraints.steps import Step, run

CELLS = "read_verilog -lib +/lattice/cells_sim_ecp5.v +/lattice/cells_bb_ecp5.v"
SUMS = {
    "plus": "p + q",
    "minus": "p - q",
    "back": "q - p",
    "negative": "$signed(p) + $signed(q[2:0])",
    "narrow": "p + q[1:0]",
    "below": "{3'b0, p < q}",
}


def ran(folder: Path, sum_: str, lines: list[str], output: str) -> dict:
    module = f"module top(input [3:0] p, q, output [3:0] y); assign y = {sum_}; endmodule"
    (folder / "top.v").write_text(module)
    source = resources.files("constraints").joinpath("narrow_sum.v").read_text()
    (folder / "narrow_sum.v").write_text(source)
    lines = ["read_verilog top.v", CELLS, "proc", "opt", "alumacc", "opt", *lines]
    (folder / "run.ys").write_text("\n".join(lines))
    files = ("top.v", "narrow_sum.v", "run.ys")
    run(folder, [Step("run", yosys("run.ys"), files, (output,))], lambda words: None)
    return json.loads((folder / output).read_text())


@pytest.mark.parametrize("name", SUMS)
def test_a_sum_in_carry_cells_is_proved_equal(name, tmp_path):
    prove = "equiv_opt -assert -map +/lattice/cells_sim_ecp5.v techmap -map narrow_sum.v"
    lines = [prove, "design -load postopt", "tee -o cells.json stat -json"]
    cells = ran(tmp_path, SUMS[name], lines, "cells.json")["design"]["num_cells_by_type"]
    assert cells.get("CCU2C") == 2
    assert "$alu" not in cells


@pytest.fixture(scope="module")
def netlist(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("netlist")
    lines = ["techmap -map narrow_sum.v", "synth_ecp5 -nodsp -top top", "write_json out.json"]
    return ran(folder, "p - q", lines, "out.json")


def test_a_trimmed_chain_has_no_carry_at_its_ends(netlist):
    def carries(design: dict) -> list[tuple[str, str]]:
        cells = design["modules"]["top"]["cells"].values()
        cells = [cell["connections"] for cell in cells if cell["type"] == "CCU2C"]
        return sorted((str(ports["CIN"][0]), str(ports["COUT"][0])) for ports in cells)

    before, after = carries(netlist), carries(json.loads(trimmed(json.dumps(netlist))))
    (first, carry), (again, last) = before
    assert (first, again) == ("0", carry)
    assert last != "x"
    assert sorted(after) == sorted([("x", carry), (carry, "x")])


def test_a_carry_that_is_read_stays(netlist):
    design = json.loads(json.dumps(netlist))
    cells = design["modules"]["top"]["cells"].values()
    last = [c for c in cells if c["type"] == "CCU2C" and c["connections"]["CIN"] != ["0"]]
    (carry,) = last[0]["connections"]["COUT"]
    bits = {"direction": "output", "bits": [carry]}
    design["modules"]["top"]["ports"]["overflow"] = bits
    after = json.loads(trimmed(json.dumps(design)))
    cells = after["modules"]["top"]["cells"].values()
    assert [carry] in [c["connections"]["COUT"] for c in cells if c["type"] == "CCU2C"]


def test_of_the_ports_only_the_clock_is_left(tmp_path):
    module = "module top(input clk, input d, output reg q); always @(posedge clk) q <= d; endmodule"
    (tmp_path / "top.v").write_text(module)
    (tmp_path / "run.ys").write_text("read_verilog top.v; synth_ecp5; write_json out.json")
    run(tmp_path, [Step("run", yosys("run.ys"), ("run.ys",), ("out.json",))], lambda words: None)
    left = json.loads(trimmed((tmp_path / "out.json").read_text()))["modules"]["top"]
    assert list(left["ports"]) == ["clk"]
    assert [cell["type"] for cell in left["cells"].values()] == ["TRELLIS_FF"]
