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
    package = resources.files("gen.unrolled")
    files = [file for file in package.iterdir() if file.name.endswith((".h", ".cpp"))]
    sources = {file.name: file.read_text() for file in files}
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)

    def make(folder: Path) -> None:
        with resources.as_file(package) as place:
            command = [found, *_FLAGS, str(place / name), "-o", str(folder / "library.so")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{found} refused {name}: {done.stderr[-2000:]}")

    parts = {"name": name, "sources": sources, "compiler": version.stdout, "flags": _FLAGS}
    return ctypes.CDLL(str(cached(parts, make) / "library.so"))
