"""Multipliers of an emitted design, counted in its netlist by Yosys."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .emit import TOP

__all__ = ["Multipliers", "count"]

ARRAY = "tile"
"""The module whose products are an array's, numbered for further cores."""


@dataclass(frozen=True)
class Multipliers:
    """Multiplier cells of a netlist, constants and powers of two optimised away."""

    array: int
    other: int


def count(verilog: str) -> Multipliers:
    """The multiplier cells in the array's tiles, and all others.

    Parameters
    ----------
    verilog
        A design as :func:`gen.emit.verilog` writes it.
    """
    commands = [
        "read_verilog design.v",
        f"hierarchy -check -top {TOP}",
        # Only modules that multiply are worth simplifying; others hold memories and large choices.
        "select t:$mul %m",
        "proc -norom",
        "opt",
        "select -clear",
        "tee -q -o stat.json stat -json",
    ]
    with tempfile.TemporaryDirectory(prefix="intarsia-") as name:
        folder = Path(name)
        (folder / "design.v").write_text(verilog)
        (folder / "count.ys").write_text("\n".join(commands) + "\n")
        run = "import sys, pyosys.libyosys as y; y.run_pass('script count.ys'); sys.exit(0)"
        done = subprocess.run(
            [sys.executable, "-c", run], cwd=folder, capture_output=True, text=True, check=False
        )
        path = folder / "stat.json"
        if done.returncode or not path.exists():
            raise RuntimeError(f"Yosys failed: {(done.stderr or done.stdout)[-2000:]}")
        modules = {
            key.removeprefix("\\"): value["num_cells_by_type"]
            for key, value in json.loads(path.read_text())["modules"].items()
        }
    return _counted(modules)


def _counted(modules: Mapping[str, Mapping[str, Any]]) -> Multipliers:
    """Cells of every module times its instances below the top."""

    @cache
    def below(module: str) -> tuple[int, int]:
        array = other = 0
        for cell, number in modules[module].items():
            kind = cell.removeprefix("\\")
            if kind == "$mul":
                other += number
            elif kind in modules:
                a, o = below(kind)
                array, other = array + number * a, other + number * o
        tile = module.rstrip("0123456789") == ARRAY
        return (other + array, 0) if tile else (array, other)

    return Multipliers(*below(TOP))
