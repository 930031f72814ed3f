"""Bounds: the fewest cycles that any machine of the template could take under a policy.

They count what no schedule can avoid, and nothing else: the steps that an array makes, a beat for
every line of a patch, what must pass the channel, and the latencies of units that wait for each
other: before the first operand, behind the last step, and where nothing else is left to do.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from rtl.config import Config
from rtl.send import Send

from .geometry import candidates
from .graph import (
    Add,
    Conv,
    ConvTranspose,
    Graph,
    Interpolate,
    Lookup,
    MatMul,
    Multiply,
)
from .lower import Lowered, lower
from .operation import Geometry, Operation
from .partition import Costs, Streams, partition
from .pipeline import MOST_ROWS, Option, Stage, arrivals, balance, links, quickest
from .placement import groups_of
from .products import Products, products_of
from .rows import output_rows, rows_until
from .target import Target
from .timing import Latencies
from .traffic import ACKNOWLEDGED, DONE, MEMORY_LATENCY, WRITE_AHEAD

__all__ = ["compulsory_bytes", "dataflow_bound", "roofline", "sequential_bound"]

BIAS_BYTES = 4

LEAVES = Send.GRANT_LATENCY + WRITE_AHEAD + ACKNOWLEDGED + DONE
"""Cycles from when the last beat of an output is stored to done."""

SECONDS_BY_ROWS = 25.0
"""Deterministic time of the solver that counts every row, in its own unit."""


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

    products: Products | None
    results: int
    chained: bool
    follows: bool

    def steps(self, rows: int, cols: int, depth: int) -> int:
        if self.products is not None:
            return self.products.steps(rows, cols, depth)
        return -(-self.results // (rows * cols))


@dataclass(frozen=True)
class _Outside:
    """What passes the channel before and after all stages: the cycles until what each row of the
    first stage reads is there, and those that the last one's results take to leave. Nothing where
    another stage could be the first or the last."""

    arrive: tuple[int, ...]
    leave: int


def _stages(graph: Graph, target: Target, lowered: Lowered) -> tuple[tuple[_Stage, ...], _Outside]:
    """The tasks that lead operations and must have one of their own, in order, and what they wait
    for outside."""
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
        products = products_of(tasks[name], graph)
        own = isinstance(tasks[name], Multiply | Add | Lookup | Interpolate)
        results = graph.tensors[tasks[op.tasks[-1]].output].size if own else 0
        others = leads.keys() - {name, previous}
        chained = previous in before[name] and all(
            other in before[previous] or name in before[other] for other in others
        )
        follows = chained and made_by_previous in tasks[name].inputs
        stages.append(_Stage(products, results, chained, follows))
        previous, made_by_previous = name, tasks[op.tasks[-1]].output
    names, beat = [*leads], target.offchip_bytes_per_cycle
    first, last = names[0], names[-1]
    arrive: list[int] = []
    if stages[0].products is not None and all(first in before[n] for n in names[1:]):
        arrive = arrivals(lowered, leads[first], len(stages[0].products.lines), beat)
    output, leave = tasks[leads[last].tasks[-1]].output, 0
    if output in graph.outputs and len(before[last]) == len(names) - 1:
        leave = graph.tensors[output].bytes // beat
    return tuple(stages), _Outside(tuple(arrive), leave)


def sequential_bound(graph: Graph, target: Target, config: Config) -> int:
    """The fewest cycles of one task after the other on one core: on the best array that all of them
    share, of any shape that the multipliers allow, with units as quick as those of ``config``; the
    first one's input must come over the channel and the last one's output leave by it."""
    _, geometry = candidates(graph, target, 1)[0]
    stages, outside = _stages(graph, target, lower(graph, geometry))
    units = Latencies.of(config)
    most = target.multipliers
    shapes = ((r, c) for r in range(1, most + 1) for c in range(1, most // r + 1))
    # Many shapes differ in nothing: of those with equal depth and rows, the widest is the best.
    best = {(r, most // (r * c)): c for r, c in shapes}
    return min(
        _ends(stages, [_fed(stages[0], outside.arrive, r, c, d),
                       *(stage.steps(r, c, d) for stage in stages[1:])], units, outside.leave)
        for (r, d), c in best.items()
    )  # fmt: skip


def _fed(stage: _Stage, arrive: Sequence[int], rows: int, cols: int, depth: int) -> int:
    """Cycles of the first stage on an array, counted from when the first operand could be there."""
    if not arrive or stage.products is None:
        return stage.steps(rows, cols, depth)
    options = _on(stage.products, len(arrive), rows, cols, depth)
    return min(
        max(
            one.total,
            arrive[0] + one.total - one.begun,
            *(
                there + left - early
                for there, left, early in zip(arrive, _left(one.times), one.early, strict=True)
            ),
        )
        for one in options
    )


def _left(times: Sequence[int]) -> list[int]:
    """Of each row, what it and those below take."""
    return [*accumulate(reversed(times))][::-1]


def _ends(stages: Sequence[_Stage], steps: Sequence[int], units: Latencies, leave: int) -> int:
    """When the last result has left, if the array makes so many steps for each stage and the last
    one's results take at least ``leave`` cycles to pass the channel."""
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
    return max(stored, first + leave - 1) + LEAVES


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
    coarse = MEMORY_LATENCY + found.bound + wait if found is not None else 0
    return max(coarse, _by_rows(graph, target, lowered, groups, fewest, units))


def _by_rows(
    graph: Graph,
    target: Target,
    lowered: Lowered,
    groups: Sequence[tuple[str, ...]],
    fewest: Sequence[Sequence[int]],
    units: Latencies,
) -> int:
    """The same, with each row of an image counted as the array makes it, and no sooner begun than
    what it reads can be there; 0 where there are no images or high ones, or nothing is proved."""
    tasks = {task.name: task for task in graph.tasks}
    found = links(lowered, groups, graph.element_bytes)
    if not 1 < max(rows for _, rows, _ in found) <= MOST_ROWS:
        return 0
    known: dict[tuple[object, ...], tuple[Option, ...]] = {}
    stages = []
    for group, steps, (op, rows, own) in zip(groups, fewest, found, strict=True):
        products = products_of(tasks[group[0]], graph)
        alone = sum(op.tasks[0] in group for op in lowered.operations) == 1
        beats = arrivals(lowered, op, rows, target.offchip_bytes_per_cycle)
        arrive = [MEMORY_LATENCY + units.ahead + n for n in beats]
        key = (products and products.key, alone, rows, tuple(steps))
        if key not in known:
            if products is not None and alone and len(products.lines) % rows == 0:
                options = _ways(products, rows, target.multipliers)
            else:
                options = _even(steps, rows)
                if products is None:
                    # Each step makes results.
                    options = [replace(one, passes=one.times[0]) for one in options]
                else:
                    # Nothing is known of what it does first.
                    options = [replace(one, early=one.times, begun=one.total) for one in options]
            known[key] = quickest(options)
        leave = _leave(graph, tasks[op.tasks[-1]].output if alone else "", rows, target)
        stages.append(Stage(known[key], own, tuple(arrive), leave))
    hop = units.ahead + units.behind + units.through - 1
    made = balance(
        stages, target.multipliers, hop=hop, beside=units.through, seconds=SECONDS_BY_ROWS
    )
    return made.bound + units.behind + units.through if made is not None else 0


def _leave(graph: Graph, output: str, rows: int, target: Target) -> tuple[int, ...]:
    """After each row's last result is stored, the cycles until all of an output's rows have left
    the chip: those below it pass the channel one beat after the other."""
    if output not in graph.outputs:
        return ()
    size, beat = graph.tensors[output].bytes, target.offchip_bytes_per_cycle
    return tuple(size * (rows - row) // (rows * beat) + LEAVES for row in range(1, rows + 1))


def _ways(products: Products, rows: int, most: int) -> list[Option]:
    """All arrays of up to ``most`` multipliers; so many lines of products make each of ``rows``."""
    found: dict[Option, None] = {}
    for high in range(1, most + 1):
        for wide in range(1, most // high + 1):
            for deep in range(1, most // (high * wide) + 1):
                found |= dict.fromkeys(_on(products, rows, high, wide, deep))
    return [*found]


def _on(products: Products, rows: int, high: int, wide: int, deep: int) -> Iterator[Option]:
    """What one array can do."""
    lines = products.lines.reshape(rows, -1)
    for way in products.ways(high, wide, deep):
        times = way.row + way.line * lines
        last = way.early + way.early_line * np.maximum(0, lines[:, -1] - 1)
        early = times[:, :-1].sum(axis=1) + np.minimum(last, times[:, -1])
        begun = int(times[0, :-1].sum()) + way.begun
        yield Option(
            high * wide * deep,
            tuple(times.sum(axis=1).tolist()),
            tuple(early.tolist()),
            way.total,
            min(begun, way.total),
        )


def _even(steps: Sequence[int], rows: int) -> list[Option]:
    """Rows that share a task's steps, of which there are so many by number of multipliers."""
    return [
        Option(n, (count // rows,) * rows, (0,) * rows, count)
        for n, count in enumerate(steps)
        if n > 0
    ]


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
        products = products_of(tasks[op.tasks[0]], graph)
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
    own = [p for p in (products_of(task, graph) for task in tasks) if p is not None]
    if not own:
        made = max(graph.tensors[task.output].size for task in tasks)
        return [made, *(-(-made // n) for n in range(1, most + 1))]
    found = [1 << 30] * (most + 1)
    for rows in range(1, most + 1):
        for cols in range(1, most // rows + 1):
            for depth in range(1, most // (rows * cols) + 1):
                n = rows * cols * depth
                found[n] = min(found[n], sum(p.steps(rows, cols, depth) for p in own))
    return list(accumulate(found, min))
