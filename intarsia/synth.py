"""Synthesis of a design's folder, by the tool that the user chose."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from constraints.boards import Board, board
from constraints.parts import FAMILIES
from constraints.synth import Outcome, area_of, bitstream_of, core_speed_of, prepare
from constraints.synth_report import write
from constraints.top import top
from constraints.vivado import invoke, project
from gen.errors import UserError

from .design import load

__all__ = ["TOOLS", "Synthesis", "synthesise", "vivado_project"]

TOOLS = ("yosys", "nextpnr", "vivado")


@dataclass(frozen=True)
class Synthesis:
    """What came out, and ``rows`` of a table: resource, used, of how many."""

    outcome: Outcome
    title: str
    rows: tuple[tuple[str, Any, int | None], ...]
    report: Path


def synthesise(
    directory: str | os.PathLike[str],
    tool: str,
    *,
    board_name: str | None = None,
    family: str | None = None,
    core: bool = False,
    seeds: int = 1,
    clock_mhz: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Synthesis:
    """Synthesise the design in ``directory``, in the folder ``synth-...`` below it.

    Parameters
    ----------
    tool
        Of :data:`TOOLS`.
    board_name, family
        What it is made for; ``"yosys"`` is content with a family.
    core
        For nextpnr: the accelerator alone, out of context.
    seeds
        How many seeds nextpnr tries.
    clock_mhz
        What nextpnr aims at.

    Raises
    ------
    UserError
        If the tool or board is not known, or the design does not fit the board.
    ToolError
        If a tool fails.
    """
    if tool not in TOOLS:
        raise UserError(f"--tool '{tool}' is not known; there are {', '.join(TOOLS)}")
    chosen = board(board_name) if board_name is not None else None
    folder = Path(directory)
    design = load(folder)
    tell = progress or (lambda words: None)
    if tool == "yosys":
        family = family or (chosen.chip.family if chosen is not None else None)
        if family is None:
            raise UserError(f"--tool yosys needs --board or --family, of {', '.join(FAMILIES)}")
        place = folder / f"synth-yosys-{family}"
        outcome = area_of(design.verilog, family, place, tell)
        return _reported(outcome, place, tool, design.graph.name, chosen)
    if chosen is None:
        raise UserError("--tool nextpnr needs --board; see: intarsia boards")
    target = tuple(range(1, seeds + 1))
    place = folder / f"synth-nextpnr-{chosen.name}{'-core' if core else ''}"
    if core:
        if chosen.chip.family != "ecp5":
            raise UserError(f"nextpnr places ECP5 boards, not {chosen.name}")
        clock = {} if clock_mhz is None else {"clock_mhz": clock_mhz}
        outcome = core_speed_of(
            design.verilog, chosen.part, chosen.chip, place, tell, seeds=target, **clock
        )
    else:
        whole = top(design.schedule, chosen)
        aim = clock_mhz if clock_mhz is not None else whole.clock_hz / 1e6
        outcome = bitstream_of(
            design.verilog, whole, chosen, place, tell, seeds=target, clock_mhz=aim
        )
    return _reported(outcome, place, tool, design.graph.name, chosen)


def vivado_project(
    directory: str | os.PathLike[str],
    board_name: str | None,
    *,
    execute: bool = False,
    progress: Callable[[str], None] | None = None,
) -> tuple[Path, str, dict[str, Any]]:
    """Write a Vivado project for the design in ``directory``; run it if wanted.

    Returns
    -------
    tuple
        The folder, its main script, and what Vivado's reports say, which is nothing if it did not
        run.

    Raises
    ------
    UserError
        If the board is unknown or not AMD's, or Vivado is absent.
    ToolError
        If Vivado fails.
    """
    if board_name is None:
        raise UserError("--tool vivado needs --board; see: intarsia boards")
    chosen = board(board_name)
    design = load(directory)
    made = project(
        design.graph.name,
        design.verilog,
        chosen,
        channels=design.schedule.channels,
        data_bytes=design.schedule.axi_bytes,
        whole=top(design.schedule, chosen) if chosen.host == "uart" else None,
    )
    folder = Path(directory) / f"synth-vivado-{chosen.name}"
    prepare(folder, dict(made.files))
    if not execute:
        return folder, made.main, {}
    found = invoke(folder, made.main, progress or (lambda words: None))
    (folder / "report.json").write_text(json.dumps(found, indent=2) + "\n")
    return folder, made.main, found


def _reported(
    outcome: Outcome, folder: Path, tool: str, name: str, chosen: Board | None
) -> Synthesis:
    chip = chosen.chip if chosen is not None else None
    title = f"{chosen.title}, {chosen.part}" if chosen is not None else outcome.family
    report = write(folder, outcome, name=name, tool=tool, title=title, chip=chip)
    rows = tuple(
        (key.replace("_", " "), value, getattr(chip, key, None))
        for key, value in asdict(outcome.area).items()
    )
    return Synthesis(outcome, f"{name} on {title}", rows, report)
