"""The commands that lead to a chip."""

from pathlib import Path
from typing import Any

import click

__all__ = ["COMMANDS"]


@click.command()
def boards() -> None:
    """List the boards, and what each gives a design.

    \b
    Example:  intarsia boards
    """
    from constraints.boards import BOARDS

    from .terminal import say, show

    rows = []
    for one in BOARDS.values():
        chip, target = one.chip, one.target()
        counts = (chip.multipliers, chip.blocks, chip.ultra or None, chip.luts)
        budget = (target.multipliers, target.onchip_bytes // 1024, target.offchip_bytes_per_cycle)
        rows.append((one.name, one.part, *counts, one.clock_mhz, *budget, target.channels))
    headings = (">DSP", ">BRAM", ">URAM", ">LUT", ">MHz")
    budget = (">multipliers", ">KB", ">bytes/cycle", ">channels")
    show(
        "boards: the part, and the budget of a design", ("board", "part", *headings, *budget), rows
    )
    say("take a board's budget with: intarsia compile MODEL -o DIR --board NAME")


@click.command()
@click.argument("directory", type=click.Path())
@click.option("--tool", required=True, help="yosys (area), nextpnr (bitstream) or vivado.")
@click.option("--board", "board_name", help="The board; with yosys, its family is taken.")
@click.option("--family", help="For yosys: xc7, xcu, xcup or ecp5.")
@click.option("--core", is_flag=True, help="For nextpnr: the accelerator alone, no bitstream.")
@click.option("--seeds", type=click.IntRange(1, 100), default=1, help="Seeds to try [1].")
@click.option("--clock", "clock_mhz", type=click.FloatRange(1, 1000), help="MHz to aim at.")
@click.option("--run", "execute", is_flag=True, help="For vivado: run it on the project.")
def synth(
    directory: str,
    tool: str,
    board_name: str | None,
    family: str | None,
    core: bool,
    seeds: int,
    clock_mhz: float | None,
    execute: bool,
) -> None:
    """Synthesise the design in DIRECTORY into a folder below it.

    \b
    Example:  intarsia synth build --tool yosys --family xc7
              intarsia synth build --tool nextpnr --board ulx3s-85f
              intarsia synth build --tool vivado --board pynq-z2
    Status 1 if a tool fails; what was done is not done again.
    """
    from .synth import synthesise, vivado_project
    from .terminal import progress, say, show

    if tool == "vivado":
        with progress() as tell:
            folder, script, found = vivado_project(
                directory, board_name, execute=execute, progress=tell
            )
        for name, value in found.items():
            say(f"{name.replace('_', ' ')}: {value:,}")
        say(f"project: {folder}; run it with: vivado -mode batch -source {script}")
        return
    with progress() as tell:
        done = synthesise(
            directory,
            tool,
            board_name=board_name,
            family=family,
            core=core,
            seeds=seeds,
            clock_mhz=clock_mhz,
            progress=tell,
        )
    show(done.title, ("resource", ">used", ">of"), done.rows)
    for route in done.outcome.routes:
        say(f"seed {route.seed}: {route.fmax_mhz:.2f} MHz")
    if done.outcome.bitstream is not None:
        say(f"bitstream: {done.outcome.bitstream}")
    say(f"report:    {done.report}")


def bench_silicon(full: bool, folder: Path | None) -> tuple[list[dict[str, Any]], bool]:
    """Shows the rows; returns them, and whether all with a target are as they must be. What is
    finished in ``folder`` is not done again."""
    from .bench_silicon import rows
    from .terminal import progress, say, show

    found = []
    with progress() as tell:
        for row in rows(full=full, folder=folder, progress=tell):
            say(f"{row.what}: {row.value:,}")
            found.append(row)
    table = [(row.what, float(row.value), row.target, row.ok, row.command) for row in found]
    show("silicon", ("what", ">value", ">target", "ok", "command"), table)
    return [row.as_json() for row in found], all(row.ok is not False for row in found)


COMMANDS = (boards, synth)
"""All of them."""
