"""Registers that move into slices change nothing that can be seen."""

import json
import subprocess
from pathlib import Path

import pyosys
import pytest

from constraints.area import yosys
from constraints.mapping import mapped
from constraints.registers import absorbed
from gen.emit import component_verilog
from rtl.memory import Memory
from rtl.product import Product
from sim.verilator import compiled, source

HERE = Path(__file__).parent
SHARE = Path(pyosys.__file__).parent / "share" / "lattice"

HARNESS = """
#include <cstdint>
#include <cstdio>
#include <random>
#include "Vtestbench.h"
const int A = A_BITS, B = B_BITS, LATENCY = STAGES;
int64_t factor(std::mt19937_64 &g, int bits) {
    int64_t top = (int64_t(1) << (bits - 1)) - 1;
    switch (g() % 4) {
    case 0: return -top - 1 + int64_t(g() % 3);
    case 1: return top - int64_t(g() % 3);
    case 2: return int64_t(g() % 7) - 3;
    default: return int64_t(g() << (64 - bits)) >> (64 - bits);
    }
}
int main() {
    Vtestbench top;
    std::mt19937_64 g(SEED);
    int64_t due[LATENCY] = {};
    long wrong = 0, right = 0;
    for (long i = 0; i < 200000; i++) {
        int64_t a = factor(g, A), b = factor(g, B);
        top.a = a; top.b = b;
        top.clk = 0; top.eval(); top.clk = 1; top.eval();
        due[i % LATENCY] = a * b;
        if (i < LATENCY - 1) continue;
        int64_t wanted = due[(i + 1) % LATENCY];
        int64_t p = int64_t(top.p) << (64 - A - B) >> (64 - A - B);
        p == wanted ? right++ : wrong++;
    }
    std::printf("%ld %ld\\n", right, wrong);
    return wrong != 0;
}
"""


def synthesised(text: str, top: str, folder: Path) -> dict:
    """The netlist for ECP5 as Yosys writes it."""
    (folder / "design.v").write_text(text)
    lines = ["read_verilog design.v", f"synth_ecp5 -top {top} -json mapped.json"]
    (folder / "s.ys").write_text("\n".join(lines) + "\n")
    subprocess.run(yosys("s.ys"), cwd=folder, check=True, capture_output=True)
    return json.loads((folder / "mapped.json").read_text())


def compare(name: str, sources: dict[str, str], a_bits: int, b_bits: int) -> None:
    """Simulates the product of that name beside the machine's own."""
    seed = 7
    print(f"seed {seed}")
    harness = HARNESS.replace("SEED", str(seed)).replace("STAGES", str(Product.LATENCY))
    harness = harness.replace("A_BITS", str(a_bits)).replace("B_BITS", str(b_bits))
    flags = ["-Wno-fatal", "--assert"]
    simulator = compiled(sources | {"main.cpp": harness}, "main.cpp", top=name, flags=flags)
    said = subprocess.run([simulator], capture_output=True, text=True, check=False)
    assert said.stdout.split() == [str(200001 - Product.LATENCY), "0"], said.stderr


@pytest.mark.parametrize(("a_bits", "b_bits"), [(9, 32), (23, 32), (31, 32)])
def test_a_product_in_slices_is_the_product(a_bits, b_bits, tmp_path):
    product = Product(a_bits, b_bits)
    text = mapped(component_verilog(product, product.name), "ecp5")
    assert "NAME" not in text
    assert "A_BITS" not in text
    netlist = absorbed(synthesised(text, product.name, tmp_path), product.name)
    cells = netlist["modules"][product.name]["cells"].values()
    slices = [cell["parameters"] for cell in cells if cell["type"] == "MULT18X18D"]
    assert len(slices) == (2 if a_bits <= 18 else 4)
    assert all(p["REG_OUTPUT_CLK"] == "CLK0" for p in slices)

    (tmp_path / "netlist.json").write_text(json.dumps(netlist))
    lines = ["read_json netlist.json", "delete t:$scopeinfo", "write_verilog -noattr netlist.v"]
    (tmp_path / "w.ys").write_text("\n".join(lines) + "\n")
    subprocess.run(yosys("w.ys"), cwd=tmp_path, check=True, capture_output=True)
    names = ("cells_sim_ecp5.v", "cells_ff.vh", "cells_io.vh", "common_sim.vh", "ccu2c_sim.vh")
    sources = {name: (SHARE / name).read_text() for name in names}
    sources["cells_sim_ecp5.v"] = "`timescale 1ns / 1ps\n" + sources["cells_sim_ecp5.v"]
    sources |= {
        "waivers.vlt": source("waivers.vlt").replace("*accelerator.v", "*.v"),
        "netlist.v": (tmp_path / "netlist.v").read_text(),
        "mult18x18d.v": (HERE / "mult18x18d.v").read_text(),
    }
    compare(product.name, sources, a_bits, b_bits)


@pytest.mark.parametrize(("a_bits", "b_bits"), [(9, 32), (27, 32), (28, 32)])
def test_a_product_in_parts_is_the_product(a_bits, b_bits):
    product = Product(a_bits, b_bits)
    text = mapped(component_verilog(product, product.name), "xcup")
    assert "WIDEST" not in text
    waivers = source("waivers.vlt").replace("*accelerator.v", "*.v")
    compare(product.name, {"waivers.vlt": waivers, "product.v": text}, a_bits, b_bits)


def test_block_ram_takes_its_output_register(tmp_path):
    words = list(range(1, 600))
    text = component_verilog(Memory(16, depth=600, init=words), "memory")
    netlist = synthesised(text, "memory", tmp_path)
    flops = [c for c in netlist["modules"]["memory"]["cells"].values() if c["type"] == "TRELLIS_FF"]
    assert len(flops) == 16
    cells = absorbed(netlist, "memory")["modules"]["memory"]["cells"].values()
    assert not [cell for cell in cells if cell["type"] == "TRELLIS_FF"]
    (block,) = [cell for cell in cells if cell["type"] == "DP16KD"]
    assert block["parameters"]["REGMODE_A"] == block["parameters"]["REGMODE_B"] == "OUTREG"
    assert block["connections"]["OCEA"] == block["connections"]["OCEB"] == ["1"]


def test_a_register_that_something_else_reads_stays(tmp_path):
    text = """
    module small(input clk, input [7:0] a, b, output reg [15:0] p, output reg [7:0] a_late);
      reg [7:0] b_late;
      wire [15:0] product = $signed(a_late) * $signed(b_late);
      always @(posedge clk) begin a_late <= a; b_late <= b; p <= product; end
    endmodule
    """
    cells = absorbed(synthesised(text, "small", tmp_path), "small")["modules"]["small"]["cells"]
    kinds = [cell["type"] for cell in cells.values()]
    assert kinds.count("TRELLIS_FF") == 8
    (slice_,) = [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]
    assert slice_["parameters"]["REG_INPUTA_CLK"] == "CLK0"


def test_a_register_with_an_enable_stays(tmp_path):
    text = """
    module small(input clk, e, input [7:0] a, b, output reg [15:0] p);
      always @(posedge clk) if (e) p <= $signed(a) * $signed(b);
    endmodule
    """
    cells = absorbed(synthesised(text, "small", tmp_path), "small")["modules"]["small"]["cells"]
    kinds = [cell["type"] for cell in cells.values()]
    assert kinds.count("TRELLIS_FF") == 16
    assert all("REG_OUTPUT_CLK" not in cell["parameters"] for cell in cells.values())
