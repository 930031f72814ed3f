"""What the command line shows: progress, tables, and everything else a line at a time."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

__all__ = ["progress", "say", "show"]

WIDTH = 140
"""Columns of a table that goes to a file."""


def say(words: str) -> None:
    """A line on standard output."""
    _console().print(words, markup=False, highlight=False, soft_wrap=True)


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on standard output; headings that begin with ``>`` are for numbers."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        right = heading.startswith(">")
        justify = "right" if right else "left"
        table.add_column(heading.lstrip(">"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _console().print(table, markup=False)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function to call with a few words at every step, such as ``compiling 3/17``.

    On a terminal each kind of step has a bar; elsewhere it has a line. Both are on standard error.
    """
    if not sys.stderr.isatty():
        told: set[str] = set()

        def plain(words: str) -> None:
            kind, _, _ = _parsed(words)
            if kind not in told:
                told.add(kind)
                print(f"{kind} ...", file=sys.stderr, flush=True)

        yield plain
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def bar(words: str) -> None:
            kind, done, total = _parsed(words)
            for other, task in tasks.items():
                if other != kind:
                    bars.update(task, total=1, completed=1)
            if kind not in tasks:
                tasks[kind] = bars.add_task(kind, total=total)
            bars.update(tasks[kind], completed=done, total=total)

        yield bar


def _parsed(words: str) -> tuple[str, int, int | None]:
    """The kind of step, how many are done, and of how many if that is known."""
    found = re.fullmatch(r"(.*?) (\d+)/(\d+)", words)
    if found:
        return found[1], int(found[2]), int(found[3])
    return ("comparing geometries" if words.startswith("predicting ") else words), 0, None
