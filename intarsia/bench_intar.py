"""``intarsia bench intar``: InTAR's kernels and MobileNet under the three policies, in RTL."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise, product
from statistics import median
from typing import Any

from examples.intar import KERNELS
from gen.bound import compulsory_bytes, dataflow_bound, roofline, sequential_bound
from gen.errors import UserError
from gen.graph import Graph
from gen.multipliers import count
from gen.policy import POLICIES
from gen.schedule import Phase, Schedule
from gen.target import Target
from gen.timing import Prediction, Span
from rtl.config import numbered

from .design import Design, compile

__all__ = ["MULTIPLIERS", "POINTS", "POINT_B", "among", "bench", "bound"]

Row = dict[str, Any]

MULTIPLIERS = {"attention": 32, "ffn": 32, "cnn": 432, "vae": 144, "gating": 96, "mobilenet": 144}

POINT_A = Target(onchip_bytes=4 << 20, offchip_bytes_per_cycle=64)
"""Memory for every kernel."""

POINT_B = {
    "cnn": Target(onchip_bytes=64 << 10, offchip_bytes_per_cycle=16),
    "vae": Target(onchip_bytes=32 << 10, offchip_bytes_per_cycle=4),
    "gating": Target(onchip_bytes=1008 << 10, offchip_bytes_per_cycle=16),
    "mobilenet": Target(onchip_bytes=70 << 10, offchip_bytes_per_cycle=32),
}
"""Memory and bandwidth so scarce that ``auto`` gains, however little, where that is known."""

POINTS = {"A": dict.fromkeys(MULTIPLIERS, POINT_A), "B": POINT_B}


def bound(design: Design, policy: str) -> int:
    """Cycles that a policy sets as a limit: of tasks one after the other, the steps of one array
    for them all, what passes the channel before and after them, and twice each tensor between two
    of them that is larger than the on-chip memory. Of ``auto`` none: the roofline is its limit."""
    graph, target, config = design.graph, design.target, design.machine.config
    if policy == "dataflow":
        return dataflow_bound(graph, target, config)
    if policy == "auto":
        return 0
    ends = {*graph.inputs, *graph.outputs}
    sizes = {
        life.storage: life.extent
        for life in design.schedule.lifetimes
        if life.storage not in ends and (life.ring is None or life.ring.back is None)
    }
    moved = sum(graph.tensors[name].bytes for name in ends)
    moved += 2 * sum(size for size in sizes.values() if size > target.onchip_bytes)
    return max(sequential_bound(graph, target, config), -(-moved // target.offchip_bytes_per_cycle))


def _cores(schedule: Schedule, prediction: Prediction) -> list[list[tuple[Phase, Span]]]:
    """Per core its phases, and when its array works on each."""
    spans = {(span.unit, span.index): span for span in prediction.spans}
    return [
        [(p, spans[numbered("core", core), i]) for i, p in enumerate(schedule.phases_of(core))]
        for core in range(len(schedule.cores))
    ]


def _stretches(schedule: Schedule, prediction: Prediction) -> Iterator[Row]:
    """When each core's array works on which task; bands and parts of one without another between
    them are one."""
    for core, phases in enumerate(_cores(schedule, prediction)):
        for task, parts in groupby(phases, key=lambda pair: pair[0].operation.tasks[0]):
            spans = [span for _, span in parts]
            yield {"core": core, "task": task, "first": spans[0].first, "last": spans[-1].last}


def _way(phase: Phase) -> tuple[Any, ...]:
    """How a core works on a phase: whence operands come, and in which order."""
    op = phase.operation
    patterns = op.window.segments.patterns if op.window.segments else None
    return patterns, op.stationary, op.maximum, op.weights is None, op.softmax is None


def _reconfiguration(schedule: Schedule, prediction: Prediction) -> dict[str, Any]:
    """Cycles between a core's phases, changes of how it works, and cycles outside any phase."""
    gaps: list[int] = []
    changes = idle = 0
    for phases in _cores(schedule, prediction):
        for (before, first), (after, second) in pairwise(phases):
            gaps.append(second.first - first.last - 1)
            changes += _way(before) != _way(after)
        idle += prediction.cycles - sum(span.last - span.first + 1 for _, span in phases)
    return {
        "pattern_changes": changes,
        "gap_cycles": {"median": median(gaps) if gaps else 0, "maximum": max(gaps, default=0)},
        "idle_cycles": idle,
    }


def _figures(what: Row, kernel: Any, tell: Callable[[str], None]) -> Row:
    """Of the kernel, point and policy of ``what``."""
    graph: Graph = kernel.graph
    name, policy = what["kernel"], what["policy"]
    target = replace(POINTS[what["point"]][name], multipliers=MULTIPLIERS[name])
    started = time.perf_counter()
    design: Design = compile(graph, target, policy=policy, progress=tell)
    compiled = time.perf_counter()
    tell("emitting Verilog")
    source = design.verilog
    emitted = time.perf_counter()
    simulation = design.simulate(kernel.inputs, progress=tell)
    tell("counting multipliers")
    cells = count(source)
    run, schedule = simulation.runs[0], design.schedule
    limit = roofline(
        graph.macs(), compulsory_bytes(graph, streamed=schedule.streamed), target, schedule.channels
    )
    fewest = bound(design, policy)
    return {
        "cores": [
            f"{g.rows}x{g.cols}x{g.depth}" for g in (core.geometry for core in schedule.cores)
        ],
        "multipliers": sum(core.geometry.multipliers for core in schedule.cores),
        "multipliers_other": cells.other,
        "macs": graph.macs(),
        "roofline_cycles": limit,
        "bound_cycles": max(fewest, limit),
        "predicted_cycles": design.prediction.cycles,
        "cycles": run.cycles,
        "efficiency": round(limit / run.cycles, 4),
        "offchip_bytes": (run.read_beats + run.write_beats) * schedule.axi_bytes,
        "onchip_bytes": schedule.onchip_bytes,
        "schedule_bits": design.machine.schedule_bits(),
        "connections": len(design.machine.config.links),
        **_reconfiguration(schedule, design.prediction),
        "mismatches": simulation.mismatches,
        "phases": [*_stretches(schedule, design.prediction)],
        "seconds_compile": round(compiled - started, 1),
        "seconds_emit": round(emitted - compiled, 1),
        "seconds_build": round(simulation.seconds_build, 1),
        "seconds_simulate": round(simulation.seconds_simulate, 1),
    }


def among(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise :class:`UserError` if an option names what there is not."""
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UserError(f"--{option} must be one of {', '.join(known)}, not '{unknown[0]}'")


def bench(
    *,
    full: bool,
    kernels: Sequence[str] = (),
    policies: Sequence[str] = (),
    points: Sequence[str] = (),
    done: Sequence[Row] = (),
    progress: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """A row for each kernel and policy; every output value is compared with golden. The row of a
    policy that cannot serve a kernel says why, as ``refused``, and has no figures.

    ``phases`` say when a core's array works on which task, as predicted.

    Parameters
    ----------
    full
        The published shapes; otherwise small ones.
    kernels, policies, points
        Which; all by default, points of the full shapes only.
    done
        Rows of an earlier run, which are not made again.

    Raises
    ------
    UserError
        If there is no such kernel or policy.
    """
    among("kernel", kernels, KERNELS)
    among("policy", policies, POLICIES)
    among("point", points, POINTS)
    tell = progress or (lambda words: None)
    scale = "full" if full else "small"
    for name in kernels or tuple(MULTIPLIERS):
        tell(f"{name}: data")
        kernel = KERNELS[name](scale=scale, seed=1)
        own = [point for point in points or (POINTS if full else "A") if name in POINTS[point]]
        for point, policy in product(own, policies or POLICIES):

            def told(words: str, about: str = f"{name}, {point}, {policy}") -> None:
                tell(f"{about}: {words}")

            what: Row = {"kernel": name, "scale": scale, "policy": policy, "point": point}
            row = next((row for row in done if what.items() <= row.items()), None)
            try:
                yield row or what | _figures(what, kernel, told)
            except UserError as error:
                yield what | {"refused": str(error)}
