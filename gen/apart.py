"""Apart: an array for each task of a graph of images, each following the others row by row.

Arrays that could be best for a task are those that its products say (:mod:`gen.products`); what
each row takes on them is asked of the operations that they would do (:mod:`gen.cost`), and a solver
chooses (:mod:`gen.pipeline`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .cost import OVERHEAD, cycles, early
from .errors import UserError
from .geometry import DEPTHS, word_bytes_for
from .graph import Graph
from .lower import Lowered, lower
from .operation import Geometry, Operation
from .pipeline import MOST_ROWS, Option, Stage, arrivals, balance, links, quickest
from .placement import Placement, groups_of
from .products import products_of
from .rows import aligned, output_rows, rows_between, rows_from, rows_until
from .target import Target
from .traffic import MEMORY_LATENCY

__all__ = ["apart"]

SECONDS = 10.0
"""Deterministic time of the solver, in its own unit."""

HOP, BESIDE, BETWEEN, AHEAD = 33, 10, 2, 10
"""Cycles, roughly, from a row to those that read it, as operands and beside results; between two
rows of a core; and from an operand that has come to its first use."""

FEW = 4
"""Columns of the widest array that is only for tasks without products."""


def apart(graph: Graph, target: Target, *, dense: bool) -> tuple[Placement, int] | None:
    """The best placement with a core for each group of tasks and about its cycles; None if no task
    makes an image or one makes a high one, its weights do not fit, or none is found. With ``dense``
    all tensors lie dense."""
    images = (graph.tensors[task.output].shape for task in graph.tasks)
    if not 1 < max(shape[1] if len(shape) == 4 else 1 for shape in images) <= MOST_ROWS:
        return None
    if sum(task.weight_bytes(graph) for task in graph.tasks) > target.onchip_bytes:
        return None
    table = _table(graph, target, dense)
    if table is None:
        return None
    lowered, beat = table.lowered, target.offchip_bytes_per_cycle
    stages, found = [], []
    followed = links(lowered, table.groups, graph.element_bytes)
    for own, (op, rows, waits) in zip(table.arrays, followed, strict=True):
        options = {
            _option(array, rows): array.geometry
            for array in own
            if rows == 1 or output_rows(array.operations[0]) == rows
        }
        arrive = (MEMORY_LATENCY + AHEAD + n for n in arrivals(lowered, op, rows, beat))
        stages.append(Stage(quickest([*options]), waits, tuple(arrive)))
        found.append(options)
    if not all(found):
        return None
    made = balance(stages, target.multipliers, hop=HOP, beside=BESIDE, seconds=SECONDS)
    if made is None:
        return None
    chosen = [stage.options[n] for stage, n in zip(stages, made.chosen, strict=True)]
    geometries = tuple(own[one] for own, one in zip(found, chosen, strict=True))
    core = {task: n for n, group in enumerate(table.groups) for task in group}
    return Placement(geometries, core, dense=dense, rows=True), made.cycles


@dataclass(frozen=True)
class _Array:
    """What an array does of a group of tasks, and about how long."""

    geometry: Geometry
    operations: list[Operation]
    word_bytes: int
    cycles: int


@dataclass
class _Table:
    """Groups of tasks, and of each the arrays than which none as small is as quick; and how the
    widest sees them."""

    groups: list[tuple[str, ...]]
    lowered: Lowered
    arrays: list[list[_Array]]

    def least(self) -> int:
        """What all takes where every core is as quick as it can be."""
        return sum(own[-1].cycles if own else 1 << 40 for own in self.arrays)


def _table(graph: Graph, target: Target, dense: bool) -> _Table | None:
    """Of arrays that agree how tasks are fused and tensors lie, those that are quickest."""
    tables: list[_Table] = []
    for geometry in _shapes(graph, target):
        try:
            lowered = lower(graph, geometry, dense=dense, rows=True)
        except UserError:
            continue
        groups = groups_of(lowered)
        for table in tables:
            if table.groups == groups and table.lowered.views == lowered.views:
                table.lowered = lowered
                break
        else:
            table = _Table(groups, lowered, [[] for _ in groups])
            tables.append(table)
        word_bytes = word_bytes_for(geometry, target.offchip_bytes_per_cycle, lowered.operations)
        for group, own in zip(groups, table.arrays, strict=True):
            ops = [op for op in lowered.operations if op.tasks[0] in group]
            total = cycles(ops, geometry, word_bytes)
            if (not own or total < own[-1].cycles) and _by_rows(ops, graph, geometry):
                own.append(_Array(geometry, ops, word_bytes, total))
    return min(tables, key=_Table.least, default=None)


def _shapes(graph: Graph, target: Target) -> list[Geometry]:
    """Arrays of one row, of which none as small makes a task's products in fewer steps: with a lane
    for every column, or as many as a fourth of the multipliers allow."""
    depths, most = (1, *DEPTHS[graph.element_bytes]), target.multipliers
    found = {
        (cols, depth)
        for cols in range(1, FEW + 1)
        for depth in (1, depths[1])
        if cols * depth <= most
    }
    known = set()
    for task in graph.tasks:
        products = products_of(task, graph)
        if products is None or products.key in known:
            continue
        known.add(products.key)
        fewest = 1 << 40
        for cols, depth in sorted(
            ((c, d) for d in depths for c in range(1, most // d + 1)), key=lambda s: s[0] * s[1]
        ):
            steps = products.steps(1, cols, depth)
            if steps < fewest:
                fewest = steps
                found.add((cols, depth))
    shapes = []
    for cols, depth in sorted(found, key=lambda s: (s[0] * s[1], s)):
        few = next((n for n in (16, 8, 4, 2, 1) if cols % n == 0 and 4 * n <= cols * depth), 1)
        for lanes in sorted({few, cols} if cols > 2 else {cols}):
            shapes.append(Geometry(1, cols, depth, lanes, graph.element_bytes))
    return shapes


def _by_rows(ops: Sequence[Operation], graph: Graph, geometry: Geometry) -> bool:
    """Whether a group's operations are one that can make each row by itself, or make only one."""
    # Patches come in words of more than one byte.
    if geometry.depth < DEPTHS[graph.element_bytes][0] and any(
        not op.window.segments for op in ops
    ):
        return False
    made = next(task.output for task in graph.tasks if task.name == ops[0].tasks[-1])
    shape = graph.tensors[made].shape
    if len(shape) < 4 or shape[1] == 1:
        return True
    return len(ops) == 1 and output_rows(ops[0]) == shape[1] and aligned(ops[0], geometry)


def _option(array: _Array, rows: int) -> Option:
    """What each row takes on an array."""
    ops, geometry = array.operations, array.geometry
    if rows == 1:
        total = array.cycles - len(ops) * (OVERHEAD - BETWEEN)
        return Option(geometry.multipliers, (total,), (0,))
    inside = [rows_until(ops[0], row + 1) - rows_from(ops[0], row) for row in range(rows)]
    # Rows of which as many lines lie inside are made alike.
    first = {lines: row for row, lines in enumerate(inside)}
    each = {lines: rows_between(ops[0], row, row + 1) for lines, row in first.items()}
    times = {
        lines: cycles([one], geometry, array.word_bytes) - OVERHEAD + BETWEEN
        for lines, one in each.items()
    }
    soon = {lines: early(one, geometry) for lines, one in each.items()}
    return Option(
        geometry.multipliers,
        tuple(times[lines] for lines in inside),
        tuple(soon[lines] for lines in inside),
    )
