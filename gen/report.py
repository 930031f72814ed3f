"""Report: what a schedule does and when, as data and as a page to look at.

``python docs/make_pictures.py`` redraws the pictures of the documentation with :func:`gantt_svg`.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, Protocol

import jinja2

from rtl.accelerator import Accelerator
from rtl.config import CONSTANTS, CORE_UNITS, TENSORS, fetchers, numbered
from rtl.fetch import TENSOR
from rtl.fetch import WEIGHTS as WEIGHT_WORDS

from . import serial
from .bound import compulsory_bytes, roofline
from .chart import chart
from .graph import Graph
from .machine import Machine
from .program import Program
from .schedule import FetchPlan, Phase, Schedule, SendPlan
from .target import Target
from .timing import Prediction, Span

__all__ = ["Reportable", "gantt_svg", "report", "write"]

REGIONS = ("inputs", "outputs", "weights", "spills")
NOTHING = "\N{EN DASH}"


class Reportable(Protocol):
    """A :class:`gen.compile.Compiled`, or whatever else has its members."""

    @property
    def graph(self) -> Graph: ...

    @property
    def target(self) -> Target: ...

    @property
    def schedule(self) -> Schedule: ...

    @property
    def program(self) -> Program: ...

    @property
    def machine(self) -> Machine: ...

    @property
    def prediction(self) -> Prediction: ...


class _Waits:
    """What each word's tokens wait for, in words."""

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.phases = [schedule.phases_of(core) for core in range(len(schedule.cores))]
        self.passes = [
            [p.operation.passes(plan.geometry) * p.operation.tiles(plan.geometry) for p in phases]
            for plan, phases in zip(schedule.cores, self.phases, strict=True)
        ]
        self.fetched_ends = [
            list(accumulate(plan.beats for plan in plans)) for plans in schedule.fetches
        ]

    def stored(self, core: int, count: int) -> str:
        phase = next(phase for phase in self.phases[core] if phase.stored >= count)
        done, total = count - phase.stored_before, phase.stored - phase.stored_before
        return f"{phase.operation.name} has stored {_of(done, total)} groups"

    def fetched(self, count: int, channel: int = TENSORS) -> str:
        ends = self.fetched_ends[channel]
        index = bisect_left(ends, count)
        plan = self.schedule.fetches[channel][index]
        done = count - ends[index] + plan.beats
        return f"{_of(done, plan.beats)} beats of {transfer_name(plan)} have arrived"

    def passed(self, core: int, count: int) -> str:
        passes = self.passes[core]
        ends = list(accumulate(passes))
        index = bisect_left(ends, count)
        done = count - ends[index] + passes[index]
        name = self.phases[core][index].operation.name
        return f"the core has ended {_of(done, passes[index])} passes of {name}"

    def gathered(self, core: int, count: int) -> str:
        return f"gather has read all of {self.phases[core][count - 1].operation.name}"

    def sent(self, count: int) -> str:
        return f"{self.schedule.sends[count - 1].name} has left"

    def gather(self, phase: Phase) -> list[str]:
        tokens, result = phase.gather, []
        rows = sorted(phase.operation.window.touched_rows())
        counts = [min(tokens.need + tokens.step * y, tokens.limit) for y in rows]
        producer = tokens.producer
        progress = self.fetched if producer is None else partial(self.stored, producer)
        if tokens.start:
            result.append(f"starts once {self.stored(phase.core, tokens.start)}")
        if counts and counts[0] > 0:
            which = "row" if counts[0] == counts[-1] else "first row"
            result.append(f"{which} once {progress(counts[0])}")
        if counts and counts[-1] > counts[0]:
            result.append(f"last row once {progress(counts[-1])}")
        return result

    def core(self, phase: Phase) -> list[str]:
        result = ["patches from gather"]
        if phase.need:
            which = "weights of the first pass" if phase.pass_need else "weights"
            result.append(f"{which} once {self.fetched(phase.need, CONSTANTS)}")
        if phase.pass_need:
            result.append(f"{phase.pass_need:,} more beats for each next pass")
        return result

    def epilogue(self, phase: Phase) -> list[str]:
        tokens, result = phase.epilogue, ["sums from the core"]
        waits = [self.stored(core, n) for core, n in enumerate(tokens.stored) if n]
        waits += [self.gathered(core, n) for core, n in enumerate(tokens.gathered) if n]
        waits += [self.fetched(n, channel) for channel, n in enumerate(tokens.fetched) if n]
        waits += [self.sent(tokens.sent)] if tokens.sent else []
        return [*result, *(f"starts once {wait}" for wait in waits)]

    def fetch(self, plan: FetchPlan) -> list[str]:
        waits = [
            getattr(self, progress)(core, count)
            for progress in ("gathered", "passed", "stored")
            for core, count in enumerate(getattr(plan, progress))
            if count
        ]
        waits += [self.sent(plan.sent)] if plan.sent else []
        return [f"starts once {wait}" for wait in waits]

    def send(self, plan: SendPlan) -> list[str]:
        return [f"starts once {self.stored(plan.producer, plan.stored)}"]


def _of(done: int, total: int) -> str:
    return f"all {total:,}" if done == total else f"{done:,} of {total:,}"


def transfer_name(plan: FetchPlan | SendPlan) -> str:
    """What a transfer moves."""
    if isinstance(plan, SendPlan) or plan.target == TENSOR:
        return plan.name
    return f"{plan.name}'s {'weights' if plan.target == WEIGHT_WORDS else 'biases'}"


class _Report:
    def __init__(self, compiled: Reportable, measured: Mapping[str, int]):
        self.compiled, self.measured = compiled, measured
        self.graph, self.target = compiled.graph, compiled.target
        self.schedule, self.prediction = compiled.schedule, compiled.prediction
        self.operations = [phase.operation for phase in self.schedule.phases]
        self.makers = {}
        for phase in self.schedule.phases:
            storage = self.schedule.lifetimes[phase.sink].storage
            self.makers[storage] = phase.operation.tasks[0]
        # Per unit of a core, the phases of its program.
        self.core_units = {
            numbered(unit, core): self.schedule.phases_of(core)
            for core in range(len(self.schedule.cores))
            for unit in CORE_UNITS
        }
        self.leads = {op.name: op.tasks[0] for op in self.operations}
        fetches = zip(fetchers(self.schedule.channels), self.schedule.fetches, strict=True)
        self.fetches: dict[str, tuple[FetchPlan, ...]] = dict(fetches)
        self.transfers: dict[str, Sequence[FetchPlan | SendPlan]] = {
            **self.fetches,
            "send": self.schedule.sends,
        }

    @cached_property
    def spans(self) -> dict[str, dict[int, Span]]:
        units = (*self.fetches, *self.core_units, "send")
        result: dict[str, dict[int, Span]] = {unit: {} for unit in units}
        for span in self.prediction.spans:
            result[span.unit][span.index] = span
        return result

    @cached_property
    def phase_cycles(self) -> list[int]:
        """From the last store of the phase that ends before it (or the start) to its own."""
        ends = [self._span("epilogue", i).last for i in range(len(self.operations))]
        before = {i: ends[j] for j, i in pairwise(sorted(range(len(ends)), key=ends.__getitem__))}
        return [end - before.get(i, 0) for i, end in enumerate(ends)]

    def _span(self, unit: str, index: int) -> Span:
        """Of a phase, counted among all."""
        phase = self.schedule.phases[index]
        place = sum(other.core == phase.core for other in self.schedule.phases[:index])
        return self.spans[numbered(unit, phase.core)][place]

    def _array_cycles(self, index: int) -> int:
        op, g = self.operations[index], self.schedule.geometry(self.schedule.phases[index])
        return op.array_steps(g)

    def _lanes(self, index: int) -> int:
        g = self.schedule.geometry(self.schedule.phases[index])
        return min(g.lanes, self.operations[index].outputs)

    def _task_of(self, plan: FetchPlan | SendPlan) -> str | None:
        """The task that a transfer is for: whose weights, the reader, or the maker."""
        if isinstance(plan, SendPlan):
            return self.makers.get(plan.name)
        if plan.target != TENSOR:
            return self.leads[plan.name]
        for phase in self.schedule.phases:
            if plan.life in (phase.source, phase.residual):
                return phase.operation.tasks[0]
        return self.makers.get(plan.name)

    @cached_property
    def transfer_bytes(self) -> dict[str, tuple[int, int]]:
        """Bytes read and written for each task."""
        result: dict[str, tuple[int, int]] = {}
        for plan in chain(*self.transfers.values()):
            task, size = self._task_of(plan), plan.beats * self.schedule.axi_bytes
            if task is not None:
                read, wrote = result.get(task, (0, 0))
                is_send = isinstance(plan, SendPlan)
                result[task] = (read, wrote + size) if is_send else (read + size, wrote)
        return result

    def _rates(self, macs: int, moved: int, cycles: int) -> dict[str, Any]:
        limit = roofline(macs, moved, self.target, self.schedule.channels)
        efficiency = macs / self.target.multipliers / cycles if macs and cycles else None
        return {
            "roofline_cycles": limit,
            "efficiency": None if efficiency is None else round(efficiency, 4),
            "roofline_efficiency": round(limit / cycles, 4) if limit and cycles else None,
        }

    def tasks(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for task in self.graph.tasks:
            used = [i for i, op in enumerate(self.operations) if task.name in op.tasks]
            led = [i for i in used if self.operations[i].tasks[0] == task.name]
            cycles = sum(self.phase_cycles[i] for i in led)
            macs = task.macs(self.graph)
            read, wrote = self.transfer_bytes.get(task.name, (0, 0))
            host = self.operations[used[0]].tasks[0] if used and not led else None
            found = [self._span(unit, i) for unit in CORE_UNITS for i in used]
            entry = {
                "kind": task.kind,
                "output": list(self.graph.tensors[task.output].shape),
                "macs": macs,
                "weight_bytes": task.weight_bytes(self.graph),
                "phases": [self.operations[i].name for i in used],
                "fused_into": host,
                "first": min((span.first for span in found), default=None),
                "last": max((span.last for span in found), default=None),
                "cycles": cycles,
                "array_cycles": sum(self._array_cycles(i) for i in led),
                "lanes": max((self._lanes(i) for i in used), default=0),
                "offchip_read": read,
                "offchip_written": wrote,
                **self._rates(macs, read + wrote, cycles),
            }
            names = [self.operations[i].name for i in led]
            if led and all(name in self.measured for name in names):
                entry["measured_cycles"] = sum(self.measured[name] for name in names)
            result[task.name] = entry
        return result

    def onchip(self) -> dict[str, int]:
        """Bytes of each memory."""
        schedule, machine = self.schedule, self.compiled.machine
        config = machine.config
        widths = Accelerator.load_widths(config, machine.fields)
        sizes = zip(schedule.buffer_bytes, schedule.copies, strict=True)
        result = {f"buffer {i}": size * copies for i, (size, copies) in enumerate(sizes)}
        for index, (core, plan) in enumerate(zip(config.cores, schedule.cores, strict=True)):
            depths = {"bias": core.bias_words, "scale": core.scale_words}
            depths |= {"table": 256 * core.tables, "exponent": 256 * core.exponents}
            result[numbered("weights", index)] = plan.weight_bytes
            for memory, depth in depths.items():
                name = numbered(memory, index)
                size = -(-depth * widths.get(name, 0) // 8)
                result |= {name: size} if size else {}
        words = self.compiled.program.words
        result["schedule"] = sum(-(-len(words[unit]) * widths[unit] // 8) for unit in words)
        return result

    def offchip(self) -> dict[str, dict[str, int]]:
        """Bytes read and written, and the size, of each region."""
        schedule = self.schedule
        result = {
            name: {"size": size, "read": 0, "written": 0}
            for name, size in zip(REGIONS, schedule.region_bytes, strict=True)
        }
        for plan in chain(*schedule.fetches):
            result[REGIONS[plan.region]]["read"] += plan.beats * schedule.axi_bytes
        for plan in schedule.sends:
            result[REGIONS[plan.region]]["written"] += plan.beats * schedule.axi_bytes
        return result

    def totals(self) -> dict[str, Any]:
        schedule, graph = self.schedule, self.graph
        shapes = [plan.geometry for plan in schedule.cores]
        g = shapes[0]
        regions, cycles = self.offchip(), self.prediction.cycles
        needed = compulsory_bytes(graph, streamed=schedule.streamed)
        result = {
            "geometry": {"rows": g.rows, "cols": g.cols, "depth": g.depth},
            "cores": [
                {"rows": g.rows, "cols": g.cols, "depth": g.depth, "lanes": g.lanes}
                | ({"unrolled_luts": c.product.luts} if c.product is not None else {})
                for g, c in zip(shapes, self.compiled.program.constants, strict=True)
            ],
            "multipliers": sum(g.multipliers for g in shapes),
            "lanes": g.lanes,
            "macs": graph.macs(),
            "weight_bytes": sum(task.weight_bytes(graph) for task in graph.tasks),
            "weights_streamed": schedule.streamed,
            "cycles": cycles,
            "outputs_cycles": cycles - sum(self.phase_cycles),
            **self._rates(graph.macs(), needed, cycles),
            "onchip_bytes": schedule.onchip_bytes,
            "onchip": self.onchip(),
            "offchip_read": sum(region["read"] for region in regions.values()),
            "offchip_written": sum(region["written"] for region in regions.values()),
            "offchip": regions,
        }
        names = [op.name for op in self.operations]
        if names and all(name in self.measured for name in (*names, "outputs")):
            result["measured_cycles"] = sum(self.measured[n] for n in (*names, "outputs"))
        return result

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        waits = _Waits(self.schedule)
        result: dict[str, list[dict[str, Any]]] = {}
        for unit, spans in self.spans.items():
            result[unit] = []
            for index, span in sorted(spans.items()):
                entry: dict[str, Any] = {"name": span.name}
                if unit in self.transfers:
                    plan = self.transfers[unit][index]
                    entry["name"] = transfer_name(plan)
                    entry["task"] = self._task_of(plan)
                    entry["region"] = REGIONS[plan.region]
                    entry["bytes"] = plan.beats * self.schedule.axi_bytes
                    sends = isinstance(plan, SendPlan)
                    reasons = waits.send(plan) if sends else waits.fetch(plan)
                else:
                    phase = self.core_units[unit][index]
                    entry["task"] = phase.operation.tasks[0]
                    reasons = getattr(waits, unit.rstrip("0123456789"))(phase)
                entry |= {"first": span.first, "last": span.last, "waits": reasons}
                result[unit].append(entry)
        return result

    def lifetimes(self) -> list[dict[str, Any]]:
        """Each stay from its first write, or beat fetched, to its last use."""
        schedule, spans = self.schedule, self.spans
        starts: list[list[int]] = [[] for _ in schedule.lifetimes]
        ends: list[list[int]] = [[] for _ in schedule.lifetimes]
        for i, phase in enumerate(schedule.phases):
            epilogue = self._span("epilogue", i)
            starts[phase.sink].append(epilogue.first)
            ends[phase.sink].append(epilogue.last)
            ends[phase.source].append(self._span("gather", i).last)
            if phase.residual is not None:
                ends[phase.residual].append(epilogue.last)
        for unit, plans in self.transfers.items():
            for i, plan in enumerate(plans):
                if isinstance(plan, FetchPlan) and plan.target != TENSOR:
                    continue
                if isinstance(plan, FetchPlan):
                    starts[plan.life].append(spans[unit][i].first)
                ends[plan.life].append(spans[unit][i].last)
        names = [(life.ring and life.ring.back) or life.storage for life in schedule.lifetimes]
        return [
            {
                "storage": names[i],
                "task": self.makers.get(names[i]),
                "buffer": life.buffer,
                "address": life.address,
                "size": life.size,
                "first": min(starts[i], default=0),
                "last": max(ends[i], default=0),
                "fetched": life.fetched,
                "spilled": life.spilled or (life.ring is not None and life.ring.leaves),
                "extent": life.extent,
            }
            for i, life in enumerate(schedule.lifetimes)
        ]

    def weight_blocks(self) -> list[dict[str, Any]]:
        """Streamed weights in their memory, each block until its phase ends or it is replaced."""
        phases = {op.name: i for i, op in enumerate(self.operations)}
        blocks: list[dict[str, Any]] = []
        live: list[dict[str, Any]] = []
        unit = [*self.fetches][CONSTANTS]
        for i, plan in enumerate(self.fetches[unit]):
            if plan.target != WEIGHT_WORDS:
                continue
            word = self.schedule.cores[plan.core].word_bytes
            beats = self.compiled.program.constants[plan.core].weight_beats
            block = {
                "name": transfer_name(plan),
                "task": self.leads[plan.name],
                "core": plan.core,
                "address": plan.address * word,
                "size": plan.beats // beats * word,
                "first": self.spans[unit][i].first,
                "last": self._span("core", phases[plan.name]).last,
            }
            low, high = block["address"], block["address"] + block["size"]
            kept = []
            for other in live:
                same = other["core"] == plan.core
                if same and other["address"] < high and low < other["address"] + other["size"]:
                    other["last"] = max(other["first"], min(other["last"], block["first"] - 1))
                else:
                    kept.append(other)
            live = [*kept, block]
            blocks.append(block)
        return blocks

    def run(self) -> dict[str, Any]:
        target = self.target
        return {
            "name": self.graph.name,
            "target": {
                "multipliers": target.multipliers,
                "onchip_bytes": target.onchip_bytes,
                "offchip_bytes_per_cycle": target.offchip_bytes_per_cycle,
                "channels": self.schedule.channels,
                "memory": target.memory,
            },
            "totals": self.totals(),
            "tasks": self.tasks(),
            "rows": self.rows(),
            "lifetimes": self.lifetimes(),
            "weight_blocks": self.weight_blocks(),
            "measured": dict(self.measured),
        }


def report(compiled: Reportable, measured: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Figures of a compiled design, of nothing but JSON types.

    Parameters
    ----------
    compiled
        A :class:`gen.compile.Compiled`, or a design.
    measured
        Measured cycles of each operation and of ``"outputs"``, by name, as
        :func:`intarsia.layers.layers` yields them.

    Returns
    -------
    dict
        ``tasks`` by name, ``totals``, ``rows`` (per unit, what it does from which cycle to which,
        and what each waits for), ``lifetimes`` (what lies in which buffer from when to when) and
        ``weight_blocks`` (the same for streamed weights).

        A task's ``cycles`` reach from the last store of the operation before it (or the start) to
        its own last store; with ``outputs_cycles`` they add up to the total. A task that is fused
        into another counts there. ``efficiency`` is MACs / the target's multipliers / cycles;
        ``roofline_efficiency`` is ``roofline_cycles``, the larger of MACs / multipliers and
        off-chip bytes / bytes per cycle, / cycles. ``array_cycles`` are those in which the array
        multiplies, partial tiles included.
    """
    return _Report(compiled, measured or {}).run()


def _environment() -> jinja2.Environment:
    def share(value: float | None) -> str:
        return NOTHING if value is None else f"{100 * value:.1f} %"

    def count(value: int | None) -> str:
        return NOTHING if value is None else f"{value:,}"

    def size(value: int) -> str:
        return f"{value:,} B" if value < 10_000 else f"{value / 1024:,.1f} KB"

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "count": count, "size": size}
    return environment


def gantt_svg(compiled: Reportable) -> str:
    """The schedule as a picture: an SVG of its own, for light and dark pages."""
    data = report(compiled)
    template = _environment().get_template("chart.html")
    return template.render(data=data, chart=chart(data, panels=False), standalone=True)


def write(
    compiled: Reportable, folder: str | Path, measured: Mapping[str, int] | None = None
) -> None:
    """Write ``report.json`` and ``report.html`` into ``folder``, which exists.

    Parameters
    ----------
    measured
        As for :func:`report`.
    """
    data = report(compiled, measured)
    page = (
        _environment()
        .get_template("report.html")
        .render(data=data, chart=chart(data, panels=True), standalone=False)
    )
    folder = Path(folder)
    (folder / "report.json").write_text(serial.text(data) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page, encoding="utf-8")
