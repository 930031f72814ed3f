import numpy as np
import pytest

from gen.emit import component_verilog
from gen.unrolled.search import search
from gen.unrolled.stages import Delay, stages
from rtl.unrolled.product import ConstantProduct, row_source
from rtl.unrolled.streamed import Streamed
from sim.cocotb_runner import run_bench
from tests.unrolled.matrices import sparse


@pytest.mark.parametrize("rows", [1, None])
def test_streamed(rows, tmp_path):
    seed = 3
    print(f"seed {seed}")
    matrix, inputs = sparse(8, 5, -128, 127, 0.3, seed), [(-128, 127)] * 8
    graph = search(matrix, inputs, operands=2, rounds=100)
    chosen = stages(graph, rows, Delay(1, 0)) if rows else None
    product = ConstantProduct(graph, stages=chosen, registered=rows is not None)
    block = Streamed(product)
    x = np.random.default_rng(seed).integers(-128, 128, (400, 8))
    np.savez(tmp_path / "vectors.npz", x=x, y=x @ matrix)
    lint = "/* verilator lint_off UNOPTFLAT */\n"
    run_bench(
        lint + component_verilog(block, "block", complete=False) + row_source(),
        "tests.unrolled.bench_streamed",
        top="block",
        seed=seed,
        environment={
            "VECTORS": str(tmp_path / "vectors.npz"),
            "INPUT_BITS": str(product.i.shape().elem_shape.width),
            "OUTPUT_BITS": str(product.o.shape().elem_shape.width),
            "LATENCY": str(block.latency),
        },
    )
