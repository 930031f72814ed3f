"""Compiles this package's C++ at first use and keeps the library for later."""

import ctypes
import hashlib
import os
import shutil
import subprocess
from functools import cache
from importlib import resources
from pathlib import Path

import platformdirs

from gen.errors import UserError

__all__ = ["library"]

_FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC")


def _compiler() -> str:
    chosen = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if chosen is None or shutil.which(chosen) is None:
        raise UserError("the search for adder graphs needs a C++ compiler: install g++")
    return chosen


@cache
def library(name: str) -> ctypes.CDLL:
    """The library compiled from the file ``name`` of this package.

    Kept under ``INTARSIA_CACHE`` or the user's cache folder, by the source and the compiler.

    Raises
    ------
    UserError
        If there is no C++ compiler.
    RuntimeError
        If it refuses the source.
    """
    source = resources.files("gen.unrolled").joinpath(name).read_text()
    compiler = _compiler()
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    key = hashlib.sha256("\n".join([source, version.stdout, *_FLAGS]).encode()).hexdigest()[:24]
    chosen = os.environ.get("INTARSIA_CACHE")
    root = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("intarsia"))
    folder = root.resolve() / "native"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.so"
    if not path.exists():
        # Built beside it and renamed when whole, so that others never see a part.
        partial = folder / f"{key}.{os.getpid()}.so"
        command = [compiler, *_FLAGS, "-x", "c++", "-", "-o", str(partial)]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        if done.returncode:
            partial.unlink(missing_ok=True)
            raise RuntimeError(f"{compiler} refused {name}: {done.stderr[-2000:]}")
        partial.replace(path)
    return ctypes.CDLL(str(path))
