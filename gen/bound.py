"""Bounds: the fewest cycles that any machine of the template could take under a policy.

They count what no schedule can avoid, and nothing else: the steps that an array makes, a beat for
every line of a patch, and what must pass the channel. Latencies and everything that a unit waits
for are left out, but for the memory's before the first operand.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate, groupby, pairwise

import numpy as np

from .geometry import candidates
from .graph import Conv, ConvTranspose, Dot, Graph, MatMul, Multiply, Task
from .lower import Lowered, lower
from .operation import Geometry
from .partition import Costs, Streams, edges, partition
from .placement import groups_of
from .target import Target
from .traffic import MEMORY_LATENCY

__all__ = ["compulsory_bytes", "dataflow_bound", "roofline", "sequential_bound"]

BIAS_BYTES = 4


@dataclass(frozen=True)
class _Products:
    """An image of ``outputs`` channels, and per row and per column of it how many lines and how
    many taps of a line an output sums, each of ``channels`` products; the rest is padding."""

    lines: np.ndarray
    taps: np.ndarray
    channels: int
    outputs: int


def _products(task: Task, graph: Graph) -> _Products | None:
    """Of a task that multiplies by weights, or two matrices."""
    x, y = graph.tensors[task.inputs[0]].shape, graph.tensors[task.output].shape
    if isinstance(task, MatMul | Dot):
        pixels = int(np.prod(y[:-1]))
        return _Products(np.ones(1, int), np.ones(pixels, int), x[-1], y[-1])
    if isinstance(task, Conv):
        spread = task.dilation
        reach = [
            [n * step - before + k * by for n in range(size) for k in range(kernel)]
            for size, step, before, kernel, by in zip(
                y[1:3], task.stride, task.padding[::2], task.weights.shape[1:3], spread, strict=True
            )
        ]
        inside = [
            ((np.array(at) >= 0) & (np.array(at) < size)).reshape(out, -1).sum(axis=1)
            for at, size, out in zip(reach, x[1:3], y[1:3], strict=True)
        ]
        return _Products(inside[0], inside[1], task.weights.shape[3], y[3])
    if isinstance(task, ConvTranspose):
        inside = []
        for axis in (0, 1):
            made = np.arange(x[1 + axis])[:, None] * task.stride[axis]
            made = made + np.arange(task.weights.shape[1 + axis]) - task.padding[2 * axis]
            own = made[(made >= 0) & (made < y[1 + axis])]
            inside.append(np.bincount(own, minlength=y[1 + axis]))
        return _Products(inside[0], inside[1], task.weights.shape[3], y[3])
    return None


def _steps(products: _Products, rows: int, cols: int, depth: int) -> int:
    """The fewest steps of an array.

    Either the array's rows take a pixel each and its columns channels of these, as the gather unit
    reads every line of every pixel; or, where there is one row, columns take pixels of an image's
    row side by side, as many steps each as the one of them that needs most.
    """
    lines, high = np.unique(products.lines, return_counts=True)
    taps, wide = np.unique(products.taps, return_counts=True)
    sums = lines[:, None] * taps * products.channels
    words = -(-sums // depth)
    # Lines lie apart, unless a line is the whole row of the image.
    apart = lines[:, None] if len(products.taps) > 1 else 1
    beats = high @ np.maximum(-(-sums // (depth + 1)), apart) @ wide
    least = max(-(-(high @ words @ wide) // rows) * -(-products.outputs // cols), beats)
    if rows == 1:
        own = -(-lines[:, None] * products.taps * products.channels // depth)
        rows_of = (_strips(in_row, products.outputs, cols) for in_row in own.tolist())
        least = min(least, sum(n * steps for n, steps in zip(high, rows_of, strict=True)))
    return int(least)


def _strips(words: Sequence[int], outputs: int, cols: int) -> int:
    """The fewest steps of an image's row in strips of up to ``cols`` results that lie side by side,
    each as long as its slowest pixel, which has so many ``words`` for each of its ``outputs``.

    A strip is as wide as it can be without becoming slower, so that it ends where it is full or
    where pixels need another number of words.
    """
    runs = [(count, sum(1 for _ in same) * outputs) for count, same in groupby(words)]
    if len(runs) == 1:
        return runs[0][0] * -(-runs[0][1] // cols)
    ends = list(accumulate(size for _, size in runs))
    least = {0: 0}
    open_ends = [0]
    while (first := heappop(open_ends)) < ends[-1]:
        slowest = 0
        for place in range(bisect_right(ends, first), len(ends)):
            slowest = max(slowest, runs[place][0])
            end = min(ends[place], first + cols)
            if end not in least:
                heappush(open_ends, end)
            least[end] = min(least.get(end, slowest + least[first]), slowest + least[first])
            if end == first + cols:
                break
    return least[ends[-1]]


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


def sequential_bound(graph: Graph, target: Target) -> int:
    """The fewest cycles of one task after the other on one core, once the first operand is there:
    the steps of the best array that all of them share, of any shape that the multipliers allow."""
    own = [p for p in (_products(task, graph) for task in graph.tasks) if p is not None]
    # Of what has no weights, products of two elements: one in every column.
    pairs = [graph.tensors[t.output].size for t in graph.tasks if isinstance(t, Multiply)]
    most = target.multipliers
    shapes = ((r, c) for r in range(1, most + 1) for c in range(1, most // r + 1))
    # Many shapes differ in nothing: of those with equal depth and rows, the widest is the best.
    best = {(r, most // (r * c)): c for r, c in shapes}
    return MEMORY_LATENCY + min(
        sum(_steps(p, r, c, d) for p in own) + sum(-(-size // (r * c)) for size in pairs)
        for (r, d), c in best.items()
    )


def dataflow_bound(graph: Graph, target: Target) -> int:
    """The fewest cycles that any machine with a core for each group of tasks could take, once the
    first operand is there: each on the best array of its share of the multipliers, and none waits
    longer than for the rows that it reads, or, of products whose weights are streamed, for the
    band of rows for which these come once."""
    _, geometry = candidates(graph, target, 1)[0]
    lowered = lower(graph, geometry, rows=True)
    groups = tuple(groups_of(lowered))
    most = target.multipliers
    fewest = [_fewest(graph, group, most) for group in groups]
    follows, streams = edges(lowered, groups), _streams(graph, target, lowered, groups)
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
    table = Costs(groups, ideal, follows, streams=streams)
    found = partition(table, most, len(groups), apart=True)
    return MEMORY_LATENCY + found.bound if found is not None else 0


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
