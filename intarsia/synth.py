"""Synthesis of a design's folder, by the tool that the user chose."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from constraints.boards import Board, board
from constraints.parts import FAMILIES
from constraints.synth import Outcome, area_of, bitstream_of, core_speed_of
from constraints.synth_report import write
from constraints.top import top
from gen.errors import UserError

from .design import load

__all__ = ["TOOLS", "Synthesis", "synthesise"]

TOOLS = ("yosys", "nextpnr")


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
