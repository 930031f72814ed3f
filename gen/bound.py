"""Bounds: the fewest cycles that any machine of the template could take under a policy.

They count what no schedule can avoid, and nothing else: the steps that an array makes, a beat for
every line of a patch, what must pass the channel, and the latencies of units that wait for each
other: before the first operand, behind the last step, and where nothing else is left to do.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np

from rtl.config import Config

from .geometry import candidates
from .graph import (
    Add,
    Conv,
    ConvTranspose,
    Dot,
    Graph,
    Interpolate,
    Lookup,
    MatMul,
    Multiply,
    Task,
)
from .lower import Lowered, lower
from .lower_conv import flipped
from .operation import Geometry, Operation
from .partition import Costs, Streams, partition
from .placement import groups_of
from .rows import output_rows, rows_until
from .target import Target
from .timing import Latencies
from .traffic import MEMORY_LATENCY

__all__ = ["compulsory_bytes", "dataflow_bound", "roofline", "sequential_bound"]

BIAS_BYTES = 4


@dataclass(frozen=True)
class _Products:
    """Rows of ``pixels`` of ``outputs`` channels, each the sum of so many products of every line
    that it reads: ``taps`` of each of ``height`` lines, of which ``lines``, by row, lie inside.

    ``stride`` leads from a row's first line to the next row's. ``strips`` are ways to cut rows into
    parts that columns take side by side: each channel apart, pixels whole, or not at all.
    """

    lines: np.ndarray
    height: int
    taps: int
    pixels: int
    outputs: int
    stride: int = 1
    strips: Literal["channels", "pixels", ""] = ""


def _products(task: Task, graph: Graph) -> _Products | None:
    """Of a task that multiplies by weights, or two matrices."""
    x, y = graph.tensors[task.inputs[0]].shape, graph.tensors[task.output].shape
    if isinstance(task, MatMul | Dot):
        return _Products(np.ones(1, int), 1, x[-1], int(np.prod(y[:-1])), y[-1])
    if isinstance(task, ConvTranspose):
        task = flipped(task)
    if isinstance(task, Conv):
        outputs, height, width, channels = task.weights.shape
        first = np.arange(y[1]) * task.stride[0] - task.padding[0]
        reach = first[:, None] + np.arange(height) * task.dilation[0]
        inside = ((reach >= 0) & (reach < x[1])).sum(axis=1)
        strips = "pixels" if task.groups == 1 else "channels"
        return _Products(inside, height, width * channels, y[2], outputs, task.stride[0], strips)
    return None


def _steps(products: _Products, rows: int, cols: int, depth: int) -> int:
    """The fewest steps of an array.

    Either the array's rows take a pixel each and its columns channels of these, as the gather unit
    reads every line of every pixel; or, where there is one row, columns take a strip of an image's
    row, and lines come one by one, or a strip's from top to bottom in one sweep.
    """
    p, high = products, len(products.lines)
    pixels, sums = high * p.pixels, p.height * p.taps
    # Lines lie apart, unless a line is the whole row of the image.
    beats = pixels * max(-(-sums // (depth + 1)), p.height if p.pixels > 1 else 1)
    least = max(-(-pixels // rows) * -(-p.outputs // cols) * -(-sums // depth), beats)
    if rows > 1 or not p.strips or (p.strips == "pixels" and p.outputs > cols):
        return least
    abreast = cols // p.outputs * p.outputs if p.strips == "pixels" else cols
    strips = -(-p.pixels * p.outputs // abreast)
    least = min(least, strips * int(p.lines.sum()) * -(-p.taps // depth))
    if depth >= p.height:
        each = -(-p.taps // (depth // p.height))
        least = min(least, strips * ((high - 1) * p.stride + p.height + high * (each - 1)))
    return least


def roofline(macs: int, moved: int, target: Target, channels: int = 1) -> int:
    """Cycles of products by multipliers, or of ``moved`` bytes over the channels."""
    beat = target.offchip_bytes_per_cycle * channels
    return max(-(-macs // target.multipliers), -(-moved // beat))


def compulsory_bytes(graph: Graph, *, streamed: bool) -> int:
    """What must pass the channels: inputs, outputs and, where they are ``streamed``, weights and
    biases that are not all equal."""
    moved = sum(graph.tensors[name].bytes for name in (*graph.inputs, *graph.outputs))
    for task in graph.tasks if streamed else ():
        if isinstance(task, Conv | ConvTranspose | MatMul):
            equal = bool(np.ptp(task.bias) == 0)
            moved += task.weight_bytes(graph) - equal * BIAS_BYTES * task.bias.size
    return moved


@dataclass(frozen=True)
class _Stage:
    """What one core does for a task: its products, or ``results`` that each pass a column.

    ``chained`` if no other can come between it and the stage before it, of which it reads what
    that makes if it ``follows``.
    """

    products: _Products | None
    results: int
    chained: bool
    follows: bool

    def steps(self, rows: int, cols: int, depth: int) -> int:
        if self.products is not None:
            return _steps(self.products, rows, cols, depth)
        return -(-self.results // (rows * cols))


def _stages(graph: Graph, lowered: Lowered) -> tuple[_Stage, ...]:
    """The tasks that lead operations and must have one of their own, in order."""
    tasks = {task.name: task for task in graph.tasks}
    leads = {op.tasks[0]: op for op in lowered.operations}
    makers: dict[str, str] = {}
    before: dict[str, set[str]] = {}
    for op in lowered.operations:
        made = {makers[name] for name in op.reads if name in makers} - {op.tasks[0]}
        known = before.setdefault(op.tasks[0], set())
        known.update(made, *(before[name] for name in made))
        makers[op.sink.storage] = op.tasks[0]
    stages = []
    previous = made_by_previous = None
    for name, op in leads.items():
        products = _products(tasks[name], graph)
        own = isinstance(tasks[name], Multiply | Add | Lookup | Interpolate)
        results = graph.tensors[tasks[op.tasks[-1]].output].size if own else 0
        others = leads.keys() - {name, previous}
        chained = previous in before[name] and all(
            other in before[previous] or name in before[other] for other in others
        )
        follows = chained and made_by_previous in tasks[name].inputs
        stages.append(_Stage(products, results, chained, follows))
        previous, made_by_previous = name, tasks[op.tasks[-1]].output
    return tuple(stages)


def sequential_bound(graph: Graph, target: Target, config: Config) -> int:
    """The fewest cycles of one task after the other on one core: on the best array that all of them
    share, of any shape that the multipliers allow, with units as quick as those of ``config``."""
    _, geometry = candidates(graph, target, 1)[0]
    stages, units = _stages(graph, lower(graph, geometry)), Latencies.of(config)
    most = target.multipliers
    shapes = ((r, c) for r in range(1, most + 1) for c in range(1, most // r + 1))
    # Many shapes differ in nothing: of those with equal depth and rows, the widest is the best.
    best = {(r, most // (r * c)): c for r, c in shapes}
    return min(
        _ends(stages, [stage.steps(r, c, d) for stage in stages], units)
        for (r, d), c in best.items()
    )


def _ends(stages: Sequence[_Stage], steps: Sequence[int], units: Latencies) -> int:
    """When the last result is stored, if the array makes so many steps for each stage."""
    free = MEMORY_LATENCY + units.ahead
    first = stored = 0
    for stage, count in zip(stages, steps, strict=True):
        start = max(free, first + units.ahead) if stage.follows else free
        free = start + count
        if stage.follows:
            free = max(free, stored + units.ahead + 1)
        taken = start + units.behind
        if stage.chained:
            taken = max(taken, stored + units.between)
        first = taken + units.through
        stored = max(free - 1 + units.behind + units.through, first)
    return stored


def dataflow_bound(graph: Graph, target: Target, config: Config) -> int:
    """The fewest cycles that any machine with a core for each group of tasks could take, with units
    as quick as those of ``config``: each on the best array of its share of the multipliers, and
    none waits longer than for the rows that it reads, or, of products whose weights are streamed,
    for the band of rows for which these come once."""
    _, geometry = candidates(graph, target, 1)[0]
    lowered = lower(graph, geometry, rows=True)
    groups = tuple(groups_of(lowered))
    most = target.multipliers
    fewest = [_fewest(graph, group, most) for group in groups]
    streams = _streams(graph, target, lowered, groups)
    # A core of a number between two shares is counted as the smaller one and as quick as the most
    # of them, so that the bound holds for all numbers. With more shares the solver proves less in
    # its time where groups are many; where weights are streamed, exact ones prove more.
    few = range(1, 129) if streams else (*range(1, 33), *range(34, 65, 2), *range(68, 129, 4))
    steps = (*few, *range(132, 1 + most, 4))
    shares = [*(n for n in steps if n <= most), most + 1]
    ideal = {
        Geometry(1, n, 1, 1): tuple(own[following - 1] for own in fewest)
        for n, following in pairwise(shares)
    }
    units = Latencies.of(config)
    wait = units.ahead + units.behind + units.through
    table = Costs(groups, ideal, _follows(graph, lowered, groups, most), streams=streams, wait=wait)
    found = partition(table, most, len(groups), apart=True)
    return MEMORY_LATENCY + found.bound + wait if found is not None else 0


def _follows(
    graph: Graph, lowered: Lowered, groups: Sequence[tuple[str, ...]], most: int
) -> tuple[tuple[int, int, float, float], ...]:
    """Who reads what whom makes, and how soon at best on ``most`` multipliers, as
    :class:`gen.partition.Costs` has it."""
    tasks = {task.name: task for task in graph.tasks}
    group_of = {task: g for g, own in enumerate(groups) for task in own}
    counts = Counter(group_of[op.tasks[0]] for op in lowered.operations)
    makers: dict[str, Operation] = {}
    shares: dict[tuple[int, int], tuple[float, float]] = {}

    def part(op: Operation, rows: slice) -> float:
        """The least share of its group's steps that some rows of an operation take."""
        if counts[group_of[op.tasks[0]]] > 1:
            return 0.0
        products = _products(tasks[op.tasks[0]], graph)
        even = np.ones(output_rows(op))
        lines = even if products is None or len(products.lines) != len(even) else products.lines
        return min(float(weight[rows].sum() / weight.sum()) for weight in (even, lines))

    for op in lowered.operations:
        own, rows = group_of[op.tasks[0]], output_rows(op)
        for storage in op.reads:
            maker = makers.get(storage)
            if maker is None or group_of[maker.tasks[0]] == own:
                continue
            height, lag, tail = output_rows(maker), 0.0, 0.0
            if storage == op.window.storage and op.window.height == height > 1:
                lag = part(maker, slice(rows_until(op, 1)))
                # Some convolutions read nothing of the last row.
                after = sum(rows_until(op, n) < height for n in range(1, rows + 1))
                tail = part(op, slice(after, None))
            elif isinstance(tasks[op.tasks[0]], MatMul) and op.window.pixel_count == 1:
                # Of a vector, every pass reads all.
                tail = 1 - 1 / -(-op.outputs // most)
            key = group_of[maker.tasks[0]], own
            before = shares.get(key, (0.0, 0.0))
            shares[key] = (max(before[0], lag), max(before[1], tail))
        makers[op.sink.storage] = op
    return tuple(
        (a, b, _floor(lag), _floor(tail)) for (a, b), (lag, tail) in sorted(shares.items())
    )


def _floor(share: float) -> float:
    """In thousandths, as the solver counts."""
    return int(1000 * share) / 1000


def _streams(
    graph: Graph, target: Target, lowered: Lowered, groups: Sequence[tuple[str, ...]]
) -> Streams | None:
    """The weights of each group, and which products follow each other, if not all can stay."""
    tasks = {task.name: task for task in graph.tasks}
    products = [[t for t in map(tasks.__getitem__, own) if isinstance(t, MatMul)] for own in groups]
    weights = [sum(task.weights.size for task in own) * graph.element_bytes for own in products]
    if sum(weights) <= target.onchip_bytes:
        return None
    beat = target.offchip_bytes_per_cycle
    whole: list[tuple[int, int, int]] = []
    # Of each storage the products whose rows must be complete before its own are.
    before: dict[str, set[int]] = {}
    for op in lowered.operations:
        own = next(g for g, names in enumerate(groups) if op.tasks[0] in names)
        firsts = before.get(op.window.storage, set()) - {own}
        if len(products[own]) == 1:
            whole += ((first, own, -(-op.outputs // target.multipliers)) for first in firsts)
        second = before.get(op.residual.place.storage, set()) if op.residual else set()
        before[op.sink.storage] = second | ({own} if len(products[own]) == 1 else set())
    pixels = [
        max((int(np.prod(graph.tensors[task.output].shape[:-1])) for task in own), default=0)
        for own in products
    ]
    return Streams(
        beats=tuple(size // beat for size in weights),
        most=tuple(pixels),
        kept=-(-target.onchip_bytes // beat),
        whole=tuple(whole),
    )


def _fewest(graph: Graph, group: Sequence[str], most: int) -> list[int]:
    """By number of multipliers up to ``most``, the fewest steps of a core that does ``group``."""
    tasks = [task for task in graph.tasks if task.name in group]
    own = [p for p in (_products(task, graph) for task in tasks) if p is not None]
    if not own:
        made = max(graph.tensors[task.output].size for task in tasks)
        return [made, *(-(-made // n) for n in range(1, most + 1))]
    found = [1 << 30] * (most + 1)
    for rows in range(1, most + 1):
        for cols in range(1, most // rows + 1):
            for depth in range(1, most // (rows * cols) + 1):
                n = rows * cols * depth
                found[n] = min(found[n], sum(_steps(p, rows, cols, depth) for p in own))
    return list(accumulate(found, min))
