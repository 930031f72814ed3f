"""Mappings to DSP slices give what the plain bodies give."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from constraints.area import Area, yosys
from constraints.mapping import FILES, mapped
from gen.emit import component_verilog
from rtl.pair import Pair
from rtl.tile import Tile
from sim.verilator import compiled, source
from tests.rtl.blocks import config

HERE = Path(__file__).parent

BENCH = """
module bench(input clk, input [7:0] a, b0, b1, output [15:0] p0, p1, q0, q1);
  pair plain(.clk(clk), .rst(1'b0), .a(a), .b0(b0), .b1(b1), .p0(p0), .p1(p1));
  pair_dsp mapped(.clk(clk), .rst(1'b0), .a(a), .b0(b0), .b1(b1), .p0(q0), .p1(q1));
endmodule
"""

HARNESS = """
#include <cstdint>
#include <cstdio>
#include "Vtestbench.h"
int main() {
    Vtestbench top;
    long wrong = 0, right = 0;
    int8_t a[3] = {}, b0[3] = {}, b1[3] = {};
    for (long i = 0; i < (1L << 24) + 2; i++) {
        top.a = i; top.b0 = i >> 8; top.b1 = i >> 16;
        a[i % 3] = i; b0[i % 3] = i >> 8; b1[i % 3] = i >> 16;
        top.clk = 0; top.eval(); top.clk = 1; top.eval();
        if (i < 1) continue;
        int j = (i - 1) % 3;
        bool same = int16_t(top.q0) == a[j] * b0[j] && int16_t(top.q1) == a[j] * b1[j];
        bool plain = top.p0 == top.q0 && top.p1 == top.q1;
        same && plain ? right++ : wrong++;
    }
    std::printf("%ld %ld\\n", right, wrong);
    return wrong != 0;
}
"""


def test_a_slice_makes_two_exact_products_of_every_three_factors():
    plain = component_verilog(Pair(), "pair")
    body = mapped(plain, "xcup").replace("module pair(", "module pair_dsp(")
    assert "DSP48E2" in body
    sources = {
        "waivers.vlt": source("waivers.vlt").replace("*accelerator.v", "*.v"),
        "bench.v": BENCH,
        "plain.v": plain,
        "mapped.v": body,
        "dsp48e2.v": (HERE / "dsp48e2.v").read_text(),
        "main.cpp": HARNESS,
    }
    flags = ["-Wno-fatal", "--assert"]
    simulator = compiled(sources, "main.cpp", top="bench", flags=flags)
    said = subprocess.run([simulator], capture_output=True, text=True, check=False)
    assert said.stdout.split() == [str((1 << 24) + 1), "0"], said.stderr


def test_the_families_have_their_files():
    for files in FILES.values():
        for file in files.values():
            assert (HERE.parents[1] / "constraints" / file).is_file()
    assert mapped("module pair(a);\nendmodule\n", "xc7") == "module pair(a);\nendmodule\n"


@pytest.mark.parametrize(("lanes", "slices"), [(4, 6), (3, 6)])
def test_a_tile_has_a_slice_for_two_products(lanes, slices, tmp_path):
    c = config(rows=1, cols=lanes, lanes=lanes, depth=3)
    inner = Tile.shared(c)
    tile = inner.pop("tile")
    text = mapped(component_verilog(tile, "tile", shared=inner), "xcup")
    assert len(re.findall(r"^module pair\(", text, re.MULTILINE)) == 1
    (tmp_path / "tile.v").write_text(text)
    commands = ["read_verilog tile.v", "synth_xilinx -family xcup -noiopad -flatten -top tile"]
    commands.append("tee -q -o cells.json stat -json")
    (tmp_path / "s.ys").write_text("\n".join(commands) + "\n")
    subprocess.run(yosys("s.ys"), cwd=tmp_path, check=True, capture_output=True)
    statistics = json.loads((tmp_path / "cells.json").read_text())
    area = Area.of(statistics["design"]["num_cells_by_type"])
    assert area.multipliers == slices
