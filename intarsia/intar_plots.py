"""Pictures of ``intarsia bench intar``: one kernel's schedules under each policy, on one axis."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figures import figure, saved

__all__ = ["plot"]

HEIGHT, MARGIN = 0.32, 1.1
"""Of a core's line and around the lines of a policy, in inches."""

SMALLEST_LABEL = 0.06
"""A bar gets its name where it is at least this share of the axis."""


def plot(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """A file per kernel and point: when each core's array works on which task.

    Parameters
    ----------
    rows
        As :func:`intarsia.bench_intar.bench` yields them.
    folder
        Made if it does not exist.

    Raises
    ------
    UserError
        If Matplotlib is not installed.
    """
    paths = []
    for kernel, point in dict.fromkeys((row["kernel"], row["point"]) for row in rows):
        own = [row for row in rows if (row["kernel"], row["point"]) == (kernel, point)]
        lines = [len(row["cores"]) for row in own]
        height = sum(MARGIN + HEIGHT * count for count in lines)
        page = figure(10, height)
        axes = page.subplots(
            len(own), 1, sharex=True, squeeze=False, height_ratios=[1 + n for n in lines]
        )
        tasks = list(dict.fromkeys(phase["task"] for row in own for phase in row["phases"]))
        for ax, row in zip(axes[:, 0], own, strict=True):
            _draw(ax, row, tasks, max(other["cycles"] for other in own))
        axes[-1, 0].set_xlabel("cycle")
        paths.append(saved(page, folder, f"{kernel}-{point}"))
    return paths


def _draw(ax: Any, row: Mapping[str, Any], tasks: Sequence[str], end: int) -> None:
    for phase in row["phases"]:
        width = phase["last"] - phase["first"] + 1
        color = f"C{tasks.index(phase['task']) % 10}"
        ax.barh(phase["core"], width, left=phase["first"], color=color, edgecolor="white")
        if width >= SMALLEST_LABEL * end:
            middle = phase["first"] + width / 2
            ax.text(middle, phase["core"], phase["task"], ha="center", va="center", fontsize=8)
    ax.axvline(row["cycles"], color="black", linewidth=1)
    ax.set_yticks(range(len(row["cores"])), row["cores"], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.02 * end)
    ax.set_title(f"{row['kernel']}, {row['policy']}: {row['cycles']:,} cycles", loc="left")
