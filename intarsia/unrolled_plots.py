"""Plots of the benchmark of unrolled layers: area against sparsity and width."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bench_unrolled import Row
from .figures import figure

__all__ = ["plot"]

_WIDTHS = ("1", "2", "4", "8", "mixed")


def plot(rows: Sequence[Row], folder: Path) -> list[Path]:
    """One SVG for each kernel, arithmetic and flow: LUTs by sparsity, a line a generator and width.

    Beside them, dotted, what area proportional to the number of weights would be, from the least
    sparse point on.

    Raises
    ------
    UserError
        If Matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for key in sorted({(r.kernel, r.size, r.arithmetic, r.flow) for r in rows}):
        those = [r for r in rows if (r.kernel, r.size, r.arithmetic, r.flow) == key]
        page = figure(7, 5)
        axes = page.subplots()
        for generator in dict.fromkeys(r.generator for r in those):
            for width in (w for w in _WIDTHS if any(r.width == w for r in those)):
                _line(axes, [r for r in those if (r.generator, r.width) == (generator, width)])
        axes.set_xlabel("share of zero weights")
        axes.set_ylabel("LUTs")
        axes.set_yscale("log")
        axes.set_title(" ".join(key))
        axes.legend(fontsize="small")
        path = folder / f"{'-'.join(key)}.svg"
        page.savefig(path)
        paths.append(path)
    return paths


def _line(axes: Any, rows: list[Row]) -> None:
    points: dict[float, list[int]] = {}
    for row in rows:
        if row.luts:
            points.setdefault(row.sparsity, []).append(row.luts)
    if not points:
        return
    x = sorted(points)
    y = [sum(points[s]) / len(points[s]) for s in x]
    (line,) = axes.plot(x, y, marker="o", label=f"{rows[0].generator}, {rows[0].width} bits")
    if x[0] < 1:
        trend = [y[0] * (1 - s) / (1 - x[0]) for s in x]
        axes.plot(x, trend, linestyle=":", color=line.get_color())
