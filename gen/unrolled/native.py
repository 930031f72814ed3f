"""Compiles this package's C++ at first use and keeps the library for later."""

import ctypes
import subprocess
from functools import cache
from importlib import resources
from pathlib import Path

from gen.cache import cached, compiler
from gen.errors import UserError

__all__ = ["library"]

_FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC")


@cache
def library(name: str) -> ctypes.CDLL:
    """The library compiled from the file ``name`` of this package, kept as simulator builds are.

    Raises
    ------
    UserError
        If there is no C++ compiler.
    RuntimeError
        If it refuses the source.
    """
    found = compiler()
    if found is None:
        raise UserError("the search for adder graphs needs a C++ compiler: install g++")
    source = resources.files("gen.unrolled").joinpath(name).read_text()
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)

    def make(folder: Path) -> None:
        command = [found, *_FLAGS, "-x", "c++", "-", "-o", str(folder / "library.so")]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{found} refused {name}: {done.stderr[-2000:]}")

    parts = {"source": source, "compiler": version.stdout, "flags": _FLAGS}
    return ctypes.CDLL(str(cached(parts, make) / "library.so"))
