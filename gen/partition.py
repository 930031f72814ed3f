"""Partition: how many cores, of which geometry, and who does what, found by a solver.

A constraint program over a coarse model: a task takes on a core what the core's slowest unit takes
(:mod:`gen.cost`); tasks of one core follow each other; a task may begin once its
producers have made the first rows that it reads, and ends after they do. The exact model
(:mod:`gen.timing`) then judges what is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ortools.sat.python import cp_model

from .cost import cycles
from .geometry import WIDEST, word_bytes_for
from .graph import Conv, Graph
from .lower import Lowered, lower
from .operation import Geometry, Operation
from .placement import Placement, groups_of
from .rows import output_rows
from .solver import solved
from .target import Target

__all__ = ["Costs", "Partition", "Streams", "costs", "edges", "partition"]

SECONDS = 2.0
"""Deterministic time of the solver for one number of cores, in its own unit."""

ENOUGH = 16
"""Geometries to divide a budget among cores."""

SWEPT_BANDS = 16
"""Bands in which several cores make an image that each sweeps."""

STALL = 8
"""Times its cycles that an operation costs which others cannot follow row by row."""

COLUMNS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 30, 32, 36, 40, 48, 56, 64)
DEPTHS = (1, 2, 3, 4, 6, 8, 9, 12, 16, 32)


@dataclass(frozen=True)
class Streams:
    """Weights that do not all stay on chip, and so come again for every band of rows.

    ``beats`` are those of each group's weights, ``most`` the rows of its product; both 0 where
    there is none. ``kept`` beats need not come again. In ``whole`` are groups of which the second
    reads rows of the first, in so many passes, none of which it can end before rows are complete.
    """

    beats: tuple[int, ...]
    most: tuple[int, ...]
    kept: int
    whole: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Costs:
    """Of each group of tasks on each geometry the cycles; and what must precede what.

    ``lag`` is the share of a producer's cycles after which its consumer may begin, ``tail`` that of
    the consumer's after the producer has ended, and ``wait`` the cycles that pass in both cases.
    With ``dense``, all tensors lie dense. ``streams`` say what streamed weights demand, if that is
    known.
    """

    groups: tuple[tuple[str, ...], ...]
    cycles: Mapping[Geometry, tuple[int, ...]]
    edges: tuple[tuple[int, int, float, float], ...]
    dense: bool = True
    streams: Streams | None = None
    wait: int = 0


@dataclass(frozen=True)
class Partition:
    """A placement, its cycles in the coarse model, and the fewest that any placement on as many
    cores could have there."""

    placement: Placement
    cycles: int
    bound: int


def costs(graph: Graph, target: Target, most: int) -> Costs:
    """The coarse model of ``graph`` on arrays of up to ``most`` multipliers.

    All arrays must fuse tasks and lay tensors out alike: as arrays do whose columns have operands
    of their own, or if too few of these agree, with every tensor dense.
    """
    free = _costs(graph, target, _free_shapes(graph, most), dense=False)
    if len(free.cycles) >= ENOUGH:
        return free
    return _costs(graph, target, _shapes(graph.element_bytes, most), dense=True)


def _costs(graph: Graph, target: Target, shapes: Sequence[Geometry], *, dense: bool) -> Costs:
    """The model on those of ``shapes`` that agree how tasks are fused and tensors lie: of several
    such sets, the one with the quickest array for every group."""
    axi_bytes = target.offchip_bytes_per_cycle
    tables: list[tuple[Lowered, Costs]] = []
    for geometry in shapes:
        lowered = lower(graph, geometry, dense=dense, rows=True)
        groups = tuple(groups_of(lowered))
        word_bytes = word_bytes_for(geometry, axi_bytes, lowered.operations)
        row = tuple(
            cycles(own, geometry, word_bytes)
            + sum(map(_edges_of_bands, own))
            + sum(
                STALL * cycles([op], geometry, word_bytes) for op in own if not _follows(op, graph)
            )
            for own in ([op for op in lowered.operations if op.tasks[0] in g] for g in groups)
        )
        for n, (other, table) in enumerate(tables):
            if table.groups == groups and other.views == lowered.views:
                tables[n] = other, replace(table, cycles={**table.cycles, geometry: row})
                break
        else:
            follows = edges(lowered, groups)
            tables.append((lowered, Costs(groups, {geometry: row}, follows, dense)))
    if not tables:
        return Costs((), {}, (), dense)
    least = [sum(map(min, zip(*t.cycles.values(), strict=True))) for _, t in tables]
    return tables[least.index(min(least))][1]


def _follows(op: Operation, graph: Graph) -> bool:
    """Whether an operation without weights makes an image row by row, so that others can follow."""
    made = next(task.output for task in graph.tasks if task.name == op.tasks[-1])
    shape = graph.tensors[made].shape
    return op.macs > 0 or len(shape) != 4 or output_rows(op) == shape[1]


def _edges_of_bands(op: Operation) -> int:
    """Cycles that a sweep takes more in bands, without which nothing can follow it closely."""
    sweep, window = op.window.sweep, op.window
    if sweep is None:
        return 0
    return max(0, SWEPT_BANDS - window.rows) * window.repeats * window.pixels * sweep.warm


def _shapes(element_bytes: int, most: int) -> list[Geometry]:
    """Arrays of one row; of equal ones that with most lanes that are no more than a word's."""
    smallest = 1 if element_bytes == 2 else 2
    found = []
    for cols in COLUMNS:
        for depth in DEPTHS:
            if depth >= smallest and cols * depth <= most:
                fits = (n for n in (16, 8, 4, 2, 1) if cols % n == 0 and 4 * n <= cols * depth)
                lanes = cols if cols * element_bytes <= 32 and depth >= 4 else next(fits, 1)
                found.append(Geometry(1, cols, depth, lanes, element_bytes))
    return found


def _free_shapes(graph: Graph, most: int) -> list[Geometry]:
    """Arrays of one row with a lane for every column, and as many columns as divide a row of an
    image in strips that are about equal, even ones so that pixels pair."""
    element_bytes = graph.element_bytes
    widths = {graph.tensors[t.output].shape[2] for t in graph.tasks if isinstance(t, Conv)}
    strips = {-(-width // n) for width in widths for n in range(1, width + 1)}
    columns = sorted({*COLUMNS, *(cols + cols % 2 for cols in strips)})
    return [
        Geometry(1, cols, depth, cols, element_bytes)
        for cols in columns
        for depth in DEPTHS
        if 3 <= depth <= most // cols and cols * element_bytes <= 2 * WIDEST
    ]


def edges(
    lowered: Lowered, groups: Sequence[tuple[str, ...]]
) -> tuple[tuple[int, int, float, float], ...]:
    """Who reads what whom makes, and how soon, as :class:`Costs` has it."""
    group_of = {task: g for g, tasks in enumerate(groups) for task in tasks}
    makers: dict[str, int] = {}
    shares: dict[tuple[int, int], tuple[float, float]] = {}
    for op in lowered.operations:
        own, window = group_of[op.tasks[0]], op.window
        # A sweep is cut into bands, which follow those of its producer.
        lines = window.lines if window.sweep is None else window.sweep.warm + 1
        reads = [(window.storage, min(1.0, lines / max(1, window.height)))]
        if op.residual is not None:
            # Bands wait for no more of a second operand than they read.
            reads.append((op.residual.place.storage, 1 / max(1, window.rows)))
        for storage, lag in reads:
            maker = makers.get(storage)
            if maker is not None and maker != own:
                whole = lag if window.height > 1 else 1.0
                before = shares.get((maker, own), (0.0, 0.0))
                shares[maker, own] = (max(before[0], whole), max(before[1], whole))
        makers[op.sink.storage] = own
    return tuple((a, b, lag, tail) for (a, b), (lag, tail) in sorted(shares.items()))


def _worthy(table: Costs, budget: int) -> list[Geometry]:
    """The geometries within ``budget`` than which none as small is as quick for every group."""
    within = (g for g in table.cycles if g.multipliers <= budget)
    found: list[Geometry] = []
    for g in sorted(within, key=lambda g: (g.multipliers, sum(table.cycles[g]), g.lanes)):
        if not any(
            all(
                ours <= theirs
                for ours, theirs in zip(table.cycles[other], table.cycles[g], strict=True)
            )
            for other in found
        ):
            found.append(g)
    return found


def _balanced(table: Costs, shapes: Sequence[Geometry], budget: int) -> list[Geometry]:
    """A shape for each group such that the slowest is as quick as ``budget`` allows: where tasks
    run as a pipeline, that one decides."""
    count = len(table.groups)
    ordered = sorted(shapes, key=lambda g: (g.multipliers, g.lanes))

    def fitting(limit: int) -> list[Geometry | None]:
        return [
            next((g for g in ordered if table.cycles[g][t] <= limit), None) for t in range(count)
        ]

    limits = sorted({n for g in shapes for n in table.cycles[g]})
    low, high = 0, len(limits) - 1
    while low < high:
        middle = (low + high) // 2
        found = fitting(limits[middle])
        if None not in found and sum(g.multipliers for g in found if g) <= budget:
            high = middle
        else:
            low = middle + 1
    return [g for g in fitting(limits[low]) if g is not None]


def _flow(
    model: cp_model.CpModel,
    streams: Streams,
    takes: Sequence[cp_model.IntVar],
    last: cp_model.IntVar,
) -> None:
    """Products of whole rows work in bands, for each of which their weights come once.

    Two that follow each other are a flow shop of two machines. Once the first has made bands up to
    one, the second still has to do that band, but for a pass, and all after it. The mean of that
    over the bands, each counted as it is high, is least for bands of equal height.
    """
    chained = {group for first, second, _ in streams.whole for group in (first, second)}
    times: list[cp_model.IntVar] = [model.new_constant(1) for _ in streams.beats]
    for group in chained:
        rows = range(1, streams.most[group] + 1)
        times[group] = model.new_int_var(1, len(rows), f"t{group}")
        exact = [model.new_bool_var(f"t{group}_{n}") for n in rows]
        model.add_exactly_one(exact)
        for n, chosen in enumerate(exact, start=1):
            model.add(times[group] == n).only_enforce_if(chosen)
            for first, second, passes in streams.whole:
                if group in (first, second) and passes > 1:
                    both = (n + 1) * passes * (takes[first] + takes[second])
                    model.add(2 * n * passes * last >= both - 2 * takes[second]).only_enforce_if(
                        chosen
                    )
    most = model.new_int_var(1, max(1, *streams.most), "most")
    model.add_max_equality(most, times)
    beats = cp_model.LinearExpr.weighted_sum(times, streams.beats)
    model.add(last >= beats - streams.kept * (most - 1))


def partition(
    table: Costs, budget: int, cores: int, *, apart: bool = False, turns: bool = False
) -> Partition | None:
    """The best placement on ``cores`` cores with ``budget`` multipliers together, or None if there
    is none; with ``apart``, each group of tasks has a core of its own; with ``turns``, those of a
    core take turns, and otherwise follow each other.

    One worker, a fixed seed and deterministic time: the same answer every time.
    """
    groups = range(len(table.groups))
    shapes = _worthy(table, budget)
    longest = [max((table.cycles[g][t] for g in shapes), default=0) for t in groups]
    horizon = sum(longest) + table.wait * len(groups)
    if not shapes or cores > len(table.groups):
        return None
    model = cp_model.CpModel()
    shape = [[model.new_bool_var(f"s{c}_{i}") for i in range(len(shapes))] for c in range(cores)]
    for own in shape:
        model.add_exactly_one(own)
    model.add(
        sum(v * g.multipliers for own in shape for v, g in zip(own, shapes, strict=True)) <= budget
    )
    on = [[model.new_bool_var(f"o{t}_{c}") for c in range(cores)] for t in groups]
    starts = [model.new_int_var(0, horizon, f"b{t}") for t in groups]
    ends = [model.new_int_var(0, horizon, f"e{t}") for t in groups]
    takes = [model.new_int_var(0, horizon, f"d{t}") for t in groups]
    for t in groups:
        model.add_exactly_one(on[t])
        if apart:
            model.add(on[t][t] == 1)
        for c in range(cores):
            for v, g in zip(shape[c], shapes, strict=True):
                model.add(takes[t] >= table.cycles[g][t]).only_enforce_if(on[t][c], v)
        model.add(ends[t] >= starts[t] + takes[t])
        for earlier in () if turns else range(t):
            for c in range(cores):
                model.add(starts[t] >= ends[earlier]).only_enforce_if(on[t][c], on[earlier][c])
    last = model.new_int_var(0, horizon, "last")
    for c in range(cores):
        busy = [model.new_int_var(0, horizon, f"w{t}_{c}") for t in groups if turns]
        for t, spent in enumerate(busy):
            model.add(spent >= takes[t]).only_enforce_if(on[t][c])
        model.add(last >= sum(busy))
        model.add_at_least_one(on[t][c] for t in groups)
        # Cores are numbered in the order of their first tasks.
        for t in groups:
            if c and not apart:
                model.add_at_least_one([on[e][c - 1] for e in range(t)] + [on[t][c].negated()])
    for maker, reader, lag, tail in table.edges:
        later, behind = starts[reader] - starts[maker], ends[reader] - ends[maker]
        model.add(1000 * (later - table.wait) >= round(1000 * lag) * takes[maker])
        model.add(1000 * (behind - table.wait) >= round(1000 * tail) * takes[reader])
    if table.streams is not None:
        _flow(model, table.streams, takes, last)
    if apart:
        for own, wanted in zip(shape, _balanced(table, shapes, budget), strict=True):
            for v, g in zip(own, shapes, strict=True):
                model.add_hint(v, g == wanted)
    for end in ends:
        model.add(last >= end)
    model.minimize(last)
    solver = solved(model, SECONDS)
    if solver is None:
        return None
    chosen = tuple(
        next(g for v, g in zip(own, shapes, strict=True) if solver.value(v)) for own in shape
    )
    core = {
        task: next(c for c in range(cores) if solver.value(on[t][c]))
        for t in groups
        for task in table.groups[t]
    }
    bound = round(solver.best_objective_bound)
    placement = Placement(chosen, core, dense=table.dense, rows=True)
    return Partition(placement, round(solver.objective_value), bound)
