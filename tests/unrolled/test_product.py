import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from gen.emit import component_verilog
from gen.unrolled.search import search
from gen.unrolled.stages import Delay, stages
from rtl.unrolled.product import ConstantProduct, row_source
from sim.vectors import run_vectors
from tests.unrolled.matrices import sparse, vectors

ROWS = 24


def simulated(product, x, *, xilinx=False):
    """Outputs of a product in Verilator."""
    shape, out = product.i.shape(), product.o.shape()
    sources = [component_verilog(product, "block", complete=False), row_source()]
    if xilinx:
        sources.append(resources.files("pyosys").joinpath("share/xilinx/cells_sim.v").read_text())
    return run_vectors(
        sources,
        x,
        input_bits=shape.elem_shape.width,
        outputs=out.length,
        output_bits=out.elem_shape.width,
        signed=out.elem_shape.signed,
        latency=product.latency or None,
        defines=["INTARSIA_XILINX"] if xilinx else [],
    )


def test_combinational_product():
    matrix, inputs = sparse(12, 9, -128, 127, 0.4, 1), [(-128, 127), (0, 255), (0, 1)] * 4
    graph = search(matrix, inputs, operands=2, rounds=200)
    x = vectors(inputs, 500, 2)
    assert (simulated(ConstantProduct(graph), x) == x @ matrix).all()


def test_pipelined_product_takes_a_vector_a_cycle():
    matrix, inputs = sparse(12, 9, -128, 127, 0.4, 3), [(-128, 127)] * 12
    graph = search(matrix, inputs, rounds=200)
    chosen = stages(graph, 1, Delay(1, 0))
    product = ConstantProduct(graph, stages=chosen, registered=True)
    assert product.latency == max(graph.depths) - 1 + 2
    x = vectors(inputs, 500, 4)
    assert (simulated(product, x) == x @ matrix).all()


def test_product_modulo():
    matrix, inputs = sparse(12, 12, 0, 15, 0.2, 5), [(0, 15)] * 12
    graph = search(matrix, inputs, modulus_bits=4, rounds=200)
    x = vectors(inputs, 500, 6)
    assert (simulated(ConstantProduct(graph), x) == (x @ matrix) % 16).all()


@pytest.mark.parametrize("bits", [3, 6])
def test_product_whose_rows_have_guests(bits):
    matrix, inputs = sparse(12, 12, 0, (1 << bits) - 1, 0.4, 5), [(0, (1 << bits) - 1)] * 12
    graph = search(matrix, inputs, operands=2, modulus_bits=bits, rounds=200, hosting=True)
    assert {len(row.guests) for row in graph.rows} >= {0, 1}
    product = ConstantProduct(graph, stages=stages(graph, 1, Delay(1, 0)), registered=True)
    x = vectors(inputs, 500, 6)
    assert (simulated(product, x) == (x @ matrix) % (1 << bits)).all()


def test_narrow_rows_are_tables():
    inputs = [(0, 1), (-2, 1), (0, 3), (-1, 0)] * 3
    matrix = sparse(12, 11, -2, 1, 0.2, 9)
    graph = search(matrix, inputs, rounds=200)
    widths = [graph.shapes[o.value].width for row in graph.rows for o in row.operands]
    assert min(widths) == 1
    x = vectors(inputs, 500, 10)
    assert (simulated(ConstantProduct(graph), x, xilinx=True) == x @ matrix).all()


def test_product_of_primitives():
    matrix, inputs = sparse(12, 9, -128, 127, 0.4, 7), [(-128, 127), (0, 255), (0, 1)] * 4
    graph = search(matrix, inputs, rounds=200)
    x = vectors(inputs, 200, 8)
    assert (simulated(ConstantProduct(graph), x, xilinx=True) == x @ matrix).all()


def _row(rng):
    """Ports and parameters of a random row."""
    count = rng.integers(1, 4)
    operands = [
        {"WIDTH": rng.integers(1, 5), "SHIFT": rng.integers(0, 4), "SIGNED": rng.integers(2)}
        for _ in range(count)
    ]
    for operand in operands:
        operand["NEGATED"] = rng.integers(2) if count > 1 else 1
    if all(o["NEGATED"] for o in operands) and count == 3:
        operands[0]["NEGATED"] = 0
    least = min(o["SHIFT"] for o in operands)
    lowest = [o for o in operands if o["SHIFT"] == least]
    alone = len(lowest) == 1 and not lowest[0]["NEGATED"]
    base = sorted(o["SHIFT"] for o in operands)[1] if alone else least
    parameters = {"WIDTH": max(base + 1, rng.integers(1, 10)), "BASE": base, "COUNT": count}
    for name, operand in zip("ABC", operands, strict=False):
        parameters |= {f"{key}_{name}": value for key, value in operand.items()}
    for name in "ABC"[count:]:
        parameters[f"WIDTH_{name}"] = 1
    return parameters


def test_rows_of_primitives_are_proved_equal(tmp_path):
    rng = np.random.default_rng(9)
    cells = resources.files("pyosys").joinpath("share/xilinx/cells_sim.v")
    (tmp_path / "row.v").write_text(row_source())
    modules, script = [], []
    for k in range(ROWS):
        p = _row(rng)
        ports = ", ".join(f"input [{p[f'WIDTH_{n}'] - 1}:0] {n.lower()}" for n in "ABC")
        values = ", ".join(f".{name}({value})" for name, value in p.items())
        modules.append(
            f"module t{k}({ports}, output [{p['WIDTH'] - 1}:0] y);\n"
            f"  intarsia_row #({values}) row(.a(a), .b(b), .c(c), .y(y));\nendmodule\n"
        )
        made = [f"hierarchy -top t{k}", "proc", "flatten", "opt_clean"]
        script += [
            *("design -reset", "read_verilog row.v rows.v", *made),
            *("rename -top gold", "design -stash gold"),
            *("read_verilog -DINTARSIA_XILINX row.v", "read_verilog rows.v"),
            *(f"read_verilog {cells}", *made, "rename -top gate", "design -stash gate"),
            *("design -copy-from gold gold", "design -copy-from gate gate"),
            "miter -equiv -flatten gold gate miter",
            "sat -verify -prove trigger 0 miter",
        ]
    (tmp_path / "rows.v").write_text("".join(modules))
    (tmp_path / "prove.ys").write_text("\n".join(script) + "\n")
    run = "import pyosys.libyosys as y; y.run_pass('script prove.ys')"
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-500:]
    assert done.stdout.count("SAT proof finished - no model found: SUCCESS!") == ROWS
