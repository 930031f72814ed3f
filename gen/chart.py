"""Chart: where everything of a report lies in its picture of cycles, as data for the templates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Bar", "Chart", "Panel", "Row", "chart", "colours"]

WIDTH, GUTTER, MARGIN = 1180, 108, 14
TOP = 26
BINS = 472
COLOURS = 8
"""Distinct fills; further tasks get the same ones hatched in two directions, then crossed."""
HATCHES = 4

_LABELS = {"fetch": "off-chip read", "send": "off-chip write"}
_BAR, _GAP, _MAP = 22, 6, 66


@dataclass(frozen=True)
class Bar:
    """From cycle ``first`` to the end of ``last``; ``style`` indexes the colours, None is grey."""

    first: int
    last: int
    x: float
    width: float
    y: float
    height: float
    label: str
    shown: str
    style: int | None
    task: str | None
    title: str


@dataclass
class Row:
    """A labelled strip of bars; ``note`` stands below the label."""

    label: str
    y: float
    height: float
    note: str = ""
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True)
class Panel:
    """A diagram over the same cycles: stacked areas, each (label, number of its grey, path).

    Paths are in cycles from left to right and, from 0 at the bottom to -1 at the top, in
    fractions of ``most``.
    """

    label: str
    note: str
    y: float
    height: float
    areas: list[tuple[str, int, str]]
    most: str
    title: str


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws; ``ticks`` are (x, label) of the time axis."""

    width: int
    height: float
    left: int
    right: int
    top: int
    bottom: float
    cycles: int
    ticks: list[tuple[float, str]]
    rows: list[Row]
    panels: list[Panel]
    styles: dict[str, int]
    legend: list[tuple[float, float, str, int]]
    headline: str
    summary: str


def colours(data: Mapping[str, Any]) -> dict[str, int]:
    """The style of every task that has phases of its own; fused ones share their host's."""
    tasks = data["tasks"]
    leading = [name for name, task in tasks.items() if task["cycles"] or task["array_cycles"]]
    styles = {name: i % (COLOURS * HATCHES) for i, name in enumerate(leading)}
    fused = {name: task["fused_into"] for name, task in tasks.items() if name not in styles}
    return styles | {name: styles[host] for name, host in fused.items() if host in styles}


def text_width(text: str, size: float = 11) -> float:
    """About what ``text`` takes in a sans-serif font."""
    return 0.62 * size * len(text)


def _tick_step(cycles: int, most: int = 10) -> int:
    step = 1
    while True:
        for factor in (1, 2, 5):
            if cycles / (factor * step) <= most:
                return factor * step
        step *= 10


class _Drawing:
    def __init__(self, data: Mapping[str, Any]):
        self.data = data
        self.cycles = max(1, data["totals"]["cycles"])
        self.scale = (WIDTH - GUTTER - MARGIN) / self.cycles
        self.styles = colours(data)
        self.at: float = TOP
        self.rows: list[Row] = []
        self.panels: list[Panel] = []

    def x(self, cycle: float) -> float:
        return round(GUTTER + cycle * self.scale, 2)

    def bar(self, item: Mapping[str, Any], label: str, title: str, y: float, height: float) -> Bar:
        first, last, task = item["first"], item["last"], item["task"]
        width = round(max(0.8, (last + 1 - first) * self.scale), 2)
        fits = int((width - 7) / text_width("m")) if height >= 11 else 0
        style = self.styles.get(task) if task is not None else None
        shown = _shortened(label, fits)
        y, height = round(y, 2), round(height, 2)
        return Bar(first, last, self.x(first), width, y, height, label, shown, style, task, title)

    def row(self, label: str, height: float, note: str = "") -> Row:
        row = Row(label, self.at, height, note)
        self.rows.append(row)
        self.at += height + _GAP
        return row

    def unit(self, unit: str) -> None:
        spans = self.data["rows"][unit]
        if not spans:
            return
        kind = unit.rstrip("0123456789")
        number = unit.removeprefix(kind)
        row = self.row(f"{_LABELS.get(kind, kind)} {number}".rstrip(), _BAR)
        for run in _runs(spans):
            first, last = run[0], run[-1]
            lines = [first["name"]]
            if first["task"] is not None and first["task"] != first["name"]:
                lines.append(f"for {first['task']}")
            lines.append(_period(first["first"], last["last"]))
            if "bytes" in first:
                moved = sum(span["bytes"] for span in run)
                many = f" in {len(run)} transfers" if len(run) > 1 else ""
                lines.append(f"{moved:,} bytes{many} ({first['region']})")
            lines += [f"waits: {wait}" for wait in first["waits"]]
            item = {"first": first["first"], "last": last["last"], "task": first["task"]}
            label = first["name"] if kind != "fetch" else first["name"].split("'s ")[0]
            row.bars.append(self.bar(item, label, "\n".join(lines), row.y, _BAR))

    def memory(self, label: str, size: int, items: Iterable[Mapping[str, Any]], named: str) -> None:
        """Addresses from bottom to top, each stay as wide as it lasts and as high as it is big."""
        row = self.row(label, _MAP, f"{size:,} B")
        for item in items:
            height = max(1.5, item["size"] / size * _MAP)
            top = row.y + _MAP - item["address"] / size * _MAP - height
            lines = [
                item[named],
                f"made by {item['task']}" if named == "storage" and item["task"] else "",
                _period(item["first"], item["last"]),
                f"{item['size']:,} bytes at address {item['address']:,} of {label}",
                _rows_of(item),
                "fetched from off chip" if item.get("fetched") else "",
                "spilled off chip afterwards" if item.get("spilled") else "",
            ]
            title = "\n".join(line for line in lines if line)
            # Tensor names are long, and their last letters often all the same.
            name = item["task"] or item[named]
            row.bars.append(self.bar(item, name, title, max(row.y, top), height))

    def panel(
        self, label: str, note: str, areas: list[tuple[str, int, str]], most: str, title: str
    ) -> None:
        self.at += 12
        # Beside it stand its name, what it reaches, and a line for each area.
        height = max(_MAP, 41 + 12 * len(areas))
        self.panels.append(Panel(label, note, self.at, height, areas, most, title))
        self.at += height + _GAP

    def occupancy(self) -> None:
        totals = self.data["totals"]
        kinds: dict[str, list[tuple[int, int, int]]] = {}
        for life in self.data["lifetimes"]:
            item = (life["first"], life["last"], life["size"])
            kinds.setdefault(f"buffer {life['buffer']}", []).append(item)
        for block in self.data["weight_blocks"]:
            item = (block["first"], block["last"], block["size"])
            kinds.setdefault("weights", []).append(item)
        kinds = dict(sorted(kinds.items()))
        capacity = sum(totals["onchip"][name] for name in kinds)
        edges = {0, self.cycles}
        for items in kinds.values():
            edges |= {edge for first, last, _ in items for edge in (first, last + 1)}
        cuts = sorted(edge for edge in edges if 0 <= edge <= self.cycles)
        below = [0.0] * (len(cuts) - 1)
        areas, peak = [], 0
        for n, (name, items) in enumerate(kinds.items()):
            change = dict.fromkeys(cuts, 0)
            for first, last, size in items:
                change[first] = change.get(first, 0) + size
                change[last + 1] = change.get(last + 1, 0) - size
            level, levels = 0, []
            for cut in cuts[:-1]:
                level += change[cut]
                levels.append(level)
            above = [b + v / capacity for b, v in zip(below, levels, strict=True)]
            areas.append((name, n, _steps(cuts, below, above)))
            below = above
        peak = round(max(below, default=0) * capacity)
        what = "buffers and weights" if "weights" in kinds else "buffers"
        title = f"Bytes alive in {what}: at most {peak:,} of {capacity:,}"
        self.panel("occupancy", what, areas, f"{capacity:,} B", title)

    def traffic(self) -> None:
        rows, target = self.data["rows"], self.data["target"]
        peak = target["offchip_bytes_per_cycle"] * target["channels"]
        kinds = {
            "read": [span for unit in rows if unit.startswith("fetch") for span in rows[unit]],
            "written": rows["send"],
        }
        bins = min(BINS, self.cycles)
        size = self.cycles / bins
        below, areas, totals = [0.0] * bins, [], []
        for n, (name, spans) in enumerate(kinds.items()):
            moved = [0.0] * bins
            for span in spans:
                first, end = span["first"], span["last"] + 1
                rate = span["bytes"] / max(1, end - first)
                for i in range(int(first / size), min(bins, int((end - 1) / size) + 1)):
                    inside = min(end, (i + 1) * size) - max(first, i * size)
                    moved[i] += rate * max(0.0, inside)
            # A transfer's bytes are spread evenly from its first beat to its last.
            above = [min(1.0, b + m / size / peak) for b, m in zip(below, moved, strict=True)]
            cuts = [round(i * size, 2) for i in range(bins + 1)]
            areas.append((name, n, _steps(cuts, below, above)))
            totals.append(f"{sum(span['bytes'] for span in spans):,} {name}")
            below = above
        title = f"Off-chip bytes per cycle, at most {peak}: {' and '.join(totals)}"
        self.panel("off-chip traffic", "bytes per cycle", areas, f"{peak} B", title)

    def legend(self) -> list[tuple[float, float, str, int]]:
        result, x, y = [], float(GUTTER), self.at + 34
        for name, task in self.data["tasks"].items():
            if name not in self.styles or task["fused_into"]:
                continue
            text = f"{name}  {task['cycles']:,}"
            width = 24 + text_width(text) + 10
            if x + width > WIDTH - MARGIN and x > GUTTER:
                x, y = float(GUTTER), y + 20
            result.append((round(x, 1), y, text, self.styles[name]))
            x += width
        return result

    def ticks(self) -> list[tuple[float, str]]:
        step = _tick_step(self.cycles)
        return [(self.x(cycle), f"{cycle:,}") for cycle in range(0, self.cycles + 1, step)]

    def headline(self) -> str:
        totals = self.data["totals"]
        parts = [f"{self.cycles:,} cycles on {totals['multipliers']:,} multipliers"]
        if totals["roofline_efficiency"] is not None:
            parts.append(f"{100 * totals['roofline_efficiency']:.1f} % of the roofline")
        return ", ".join(parts)

    def summary(self) -> str:
        totals, tasks = self.data["totals"], self.data["tasks"]
        slowest = max(tasks, key=lambda name: tasks[name]["cycles"], default="")
        parts = [f"Schedule of {self.data['name']} in {self.cycles:,} cycles."]
        if slowest:
            share = tasks[slowest]["cycles"] / self.cycles
            parts.append(
                f"{len(set(self.styles.values()))} tasks follow each other on the core; the "
                f"longest is {slowest} with {tasks[slowest]['cycles']:,} cycles ({share:.0%})."
            )
        parts.append(
            f"{totals['offchip_read']:,} bytes are read from off chip and "
            f"{totals['offchip_written']:,} written."
        )
        return " ".join(parts)

    def run(self, panels: bool) -> Chart:
        onchip = self.data["totals"]["onchip"]
        for unit in self.data["rows"]:
            if unit != "send":
                self.unit(unit)
        for name, size in onchip.items():
            if name.startswith("buffer "):
                number = int(name.removeprefix("buffer "))
                lives = [x for x in self.data["lifetimes"] if x["buffer"] == number]
                self.memory(name, size, lives, "storage")
        if self.data["weight_blocks"]:
            self.memory("weights", onchip["weights"], _merged(self.data["weight_blocks"]), "name")
        self.unit("send")
        if panels:
            self.occupancy()
            self.traffic()
        bottom = self.at
        legend = [] if panels else self.legend()
        end = legend[-1][1] + 16 if legend else bottom + 24
        return Chart(
            width=WIDTH, height=end, left=GUTTER, right=WIDTH - MARGIN, top=TOP, bottom=bottom,
            cycles=self.cycles, ticks=self.ticks(), rows=self.rows, panels=self.panels,
            styles=self.styles, legend=legend,
            headline=self.headline(), summary=self.summary(),
        )  # fmt: skip


def _shortened(label: str, fits: int) -> str:
    """At most ``fits`` letters, from both ends: names often differ only in their last."""
    if len(label) <= fits:
        return label
    if fits < 5:
        return ""
    head = (fits - 1) // 2
    return f"{label[:head]}…{label[len(label) - (fits - 1 - head) :]}"


def _rows_of(item: Mapping[str, Any]) -> str:
    """That only some rows of a tensor are on chip at a time, if so."""
    extent = item.get("extent", 0)
    return f"of which {extent:,} bytes come and go" if extent > item["size"] else ""


def _period(first: int, last: int) -> str:
    return f"cycles {first:,} to {last:,} ({last + 1 - first:,})"


def _runs(spans: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Transfers of one thing that follow each other without a gap are one bar."""
    runs: list[list[Mapping[str, Any]]] = []
    for span in spans:
        before = runs[-1][-1] if runs else None
        if (
            before is not None
            and "bytes" in span
            and before["name"] == span["name"]
            and before["last"] + 1 == span["first"]
        ):
            runs[-1].append(span)
        else:
            runs.append([span])
    return runs


def _merged(blocks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Blocks of one phase that last equally long, and touch, as one."""
    merged: list[dict[str, Any]] = []
    for block in blocks:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last["name"] == block["name"]
            and last["last"] == block["last"]
            and last["address"] + last["size"] == block["address"]
        ):
            last["size"] += block["size"]
        else:
            merged.append(dict(block))
    return merged


def _steps(cuts: list[Any], below: list[float], above: list[float]) -> str:
    """The path of the area between two step functions."""
    if all(a == b for a, b in zip(above, below, strict=True)):
        return ""
    there = "".join(f"H{left:.10g}V{-high:.4f}" for left, high in zip(cuts, above, strict=False))
    back = "".join(
        f"V{-low:.4f}H{left:.10g}"
        for left, low in zip(reversed(cuts[:-1]), reversed(below), strict=True)
    )
    return f"M{cuts[0]:.10g} {-below[0]:.4f}{there}H{cuts[-1]:.10g}{back}Z"


def chart(data: Mapping[str, Any], *, panels: bool) -> Chart:
    """The picture of a report: the schedule, and with ``panels`` occupancy and traffic below it.

    Parameters
    ----------
    data
        What :func:`gen.report.report` returns.
    """
    return _Drawing(data).run(panels)
