"""The commands that lead to a chip."""

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


COMMANDS = (boards,)
"""All of them."""
