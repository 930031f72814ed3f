"""Plots of the benchmark of unrolled layers: area against sparsity, width and size of tables."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .bench_unrolled import Row
from .figures import figure, saved

__all__ = ["plot"]

_WIDTHS = ("1", "2", "4", "8", "mixed")
_TABLES = {f"lut{k}": k for k in range(3, 7)}

PUBLISHED = 0.5, "Kratos: about half with smaller tables"
"""Of the area with tables of six inputs: the one figure of area in the abstract of Kratos (FPL
2024, arXiv 2407.06033). What the paper's pictures show is not repeated here."""


def plot(rows: Sequence[Row], folder: Path) -> list[Path]:
    """SVG files: for each kernel, arithmetic and flow LUTs by sparsity, a line a generator and
    width, and by width; for each kernel and arithmetic bits of tables by the tables' inputs.

    Dotted beside the lines by sparsity is an area proportional to the number of weights, from the
    least sparse point on; dashed beside those by inputs is what is published.

    Raises
    ------
    UserError
        If Matplotlib is not installed.
    """
    counted = [row for row in rows if row.luts]
    paths = []
    for key, those in _groups(counted, lambda r: (r.kernel, r.size, r.arithmetic, r.flow)):
        paths.append(_page(folder, key, "share of zero weights", "LUTs", _by_sparsity, those))
        if len({r.width for r in those}) > 1:
            paths.append(_page(folder, (*key, "width"), "bits", "LUTs", _by_width, those))
    tables = [row for row in counted if row.flow in _TABLES]
    for key, those in _groups(tables, lambda r: (r.kernel, r.size, r.arithmetic)):
        words = "inputs of a table", "bits of tables, of those with most inputs"
        paths.append(_page(folder, (*key, "tables"), *words, _by_inputs, those))
    return paths


def _groups(
    rows: Sequence[Row], key: Callable[[Row], tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    for one in sorted({key(row) for row in rows}):
        yield one, [row for row in rows if key(row) == one]


def _page(
    folder: Path,
    key: tuple[str, ...],
    across: str,
    up: str,
    draw: Callable[[Any, list[Row]], None],
    rows: list[Row],
) -> Path:
    page = figure(7, 5)
    axes = page.subplots()
    draw(axes, rows)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(" ".join(key))
    axes.legend(fontsize="small")
    return saved(page, folder, "-".join(key))


def _means(rows: Sequence[Row], at: Callable[[Row], Any], value: Callable[[Row], float]) -> Any:
    """Places in their order, and the mean of the seeds there."""
    points: dict[Any, list[float]] = {}
    for row in rows:
        points.setdefault(at(row), []).append(value(row))
    x = sorted(points)
    return x, [sum(points[place]) / len(points[place]) for place in x]


def _by_sparsity(axes: Any, rows: list[Row]) -> None:
    axes.set_yscale("log")
    for (generator, width), those in _groups(rows, lambda r: (r.generator, r.width)):
        x, y = _means(those, lambda r: r.sparsity, lambda r: r.luts)
        (line,) = axes.plot(x, y, marker="o", label=f"{generator}, {width} bits")
        if x[0] < 1:
            trend = [y[0] * (1 - s) / (1 - x[0]) for s in x]
            axes.plot(x, trend, linestyle=":", color=line.get_color())
    axes.plot([], [], linestyle=":", color="gray", label="proportional to the weights")


def _by_width(axes: Any, rows: list[Row]) -> None:
    axes.set_yscale("log")
    for (generator, sparsity), those in _groups(rows, lambda r: (r.generator, str(r.sparsity))):
        x, y = _means(those, lambda r: _WIDTHS.index(r.width), lambda r: r.luts)
        axes.plot(x, y, marker="o", label=f"{generator}, {sparsity} zeros")
    axes.set_xticks(range(len(_WIDTHS)), _WIDTHS)


def _by_inputs(axes: Any, rows: list[Row]) -> None:
    lines = _groups(rows, lambda r: (r.generator, r.width, str(r.sparsity)))
    for (generator, width, sparsity), those in lines:
        x, y = _means(those, lambda r: _TABLES[r.flow], lambda r: r.luts * 2 ** _TABLES[r.flow])
        label = f"{generator}, {width} bits, {sparsity} zeros"
        axes.plot(x, [bits / y[-1] for bits in y], marker="o", label=label)
    share, words = PUBLISHED
    axes.axhline(share, linestyle="--", color="gray", label=words)
    axes.set_xticks(sorted(_TABLES.values()))
