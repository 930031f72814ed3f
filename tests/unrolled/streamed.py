"""A product or a network between streams, against vectors, with random stalls."""

from pathlib import Path

import numpy as np

from gen.emit import component_verilog
from rtl.unrolled.product import row_source
from rtl.unrolled.streamed import Streamed
from sim.cocotb_runner import run_bench

__all__ = ["run_streamed"]


def run_streamed(circuit, x: np.ndarray, y: np.ndarray, *, seed: int, folder: Path) -> None:
    """Fails unless ``circuit`` makes ``y`` of ``x``, each (vectors, elements), in order."""
    print(f"seed {seed}")
    block = Streamed(circuit)
    np.savez(folder / "vectors.npz", x=x, y=y)
    lint = "/* verilator lint_off UNOPTFLAT */\n"
    run_bench(
        lint + component_verilog(block, "block", complete=False) + row_source(),
        "tests.unrolled.bench_streamed",
        top="block",
        seed=seed,
        environment={
            "VECTORS": str(folder / "vectors.npz"),
            "INPUT_BITS": str(circuit.i.shape().elem_shape.width),
            "OUTPUT_BITS": str(circuit.o.shape().elem_shape.width),
            "LATENCY": str(block.latency),
        },
    )
