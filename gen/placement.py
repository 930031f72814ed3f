"""Placement: the cores of an accelerator, and which of them does which task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .bands import Turns, interleaved
from .constants import weight_bits_of
from .errors import UserError
from .graph import Graph
from .lower import Lowered, lower
from .lower_segments import FREE, Wiring
from .operation import Geometry, Operation
from .unrolled.product import Product
from .work import Site, Work

__all__ = ["Placement", "groups_of", "placed"]


@dataclass(frozen=True)
class Placement:
    """Arrays, one per core, the core of each task that leads an operation, the products of those
    whose weights are the circuit, and which operations take turns, if any do. With ``dense``, all
    tensors lie dense; with ``rows``, images are copied row by row."""

    geometries: tuple[Geometry, ...]
    core: Mapping[str, int]
    products: Mapping[str, Product] = field(default_factory=dict)
    turns: Turns | None = None
    dense: bool = False
    rows: bool = False

    @staticmethod
    def single(graph: Graph, geometry: Geometry) -> "Placement":
        """Everything on one core."""
        return Placement((geometry,), {task.name: 0 for task in graph.tasks})


def groups_of(lowered: Lowered) -> list[tuple[str, ...]]:
    """Tasks that lead operations, in order; those that write one storage stay together."""
    by_sink: dict[str, list[str]] = {}
    for op in lowered.operations:
        leads = by_sink.setdefault(op.sink.storage, [])
        if op.tasks[0] not in leads:
            leads.append(op.tasks[0])
    groups: list[set[str]] = []
    for leads in by_sink.values():
        joined = set(leads).union(*(group for group in groups if group & set(leads)))
        groups = [group for group in groups if not group & joined] + [joined]
    order = {op.tasks[0]: i for i, op in reversed([*enumerate(lowered.operations)])}
    return sorted(
        (tuple(sorted(g, key=order.__getitem__)) for g in groups), key=lambda g: order[g[0]]
    )


def placed(
    graph: Graph,
    placement: Placement,
    axi_bytes: int,
    *,
    fuse: bool = True,
    weight_bits: int = 8,
    wiring: Wiring = FREE,
) -> Work:
    """The operations of ``graph``, each lowered for the array of its core, in their turns;
    ``axi_bytes`` is the width of an off-chip channel.

    Raises
    ------
    UserError
        If nothing is computed, or cores would fuse tasks or lay a tensor out in different ways.
    """
    lowered = {
        g: lower(graph, g, fuse=fuse, wiring=wiring, dense=placement.dense, rows=placement.rows)
        for g in set(placement.geometries)
    }
    order = {task.name: i for i, task in enumerate(graph.tasks)}
    chosen: list[tuple[Operation, int]] = []
    storages: dict[str, int] = {}
    for core, geometry in enumerate(placement.geometries):
        own = lowered[geometry]
        kept = [op for op in own.operations if placement.core.get(op.tasks[0]) == core]
        if geometry.unrolled:
            kept = [replace(op, product=placement.products[op.tasks[0]]) for op in kept]
        chosen += ((op, core) for op in kept)
        names = {name for op in kept for name in (op.sink.storage, *op.reads)}
        for name in sorted(names):
            if storages.setdefault(name, own.storages[name]) != own.storages[name]:
                raise UserError(f"tensor '{name}' would lie differently on two cores")
    if not chosen:
        raise UserError(f"graph '{graph.name}' has no task that computes anything")
    _complete(graph, chosen, len(placement.geometries))
    _same_layouts(list(lowered.values()))
    for name in (*graph.inputs, *graph.outputs):
        storages.setdefault(name, lowered[placement.geometries[0]].storages[name])
    chosen.sort(key=lambda pair: order[pair[0].tasks[0]])
    cores = range(len(placement.geometries))
    heavy = [weight_bits_of([op for op, own in chosen if own == core]) for core in cores]
    sites = tuple(
        Site(geometry, max(weight_bits, bits))
        for geometry, bits in zip(placement.geometries, heavy, strict=True)
    )
    work = Work(tuple(chosen), storages, sites)
    if placement.turns is None:
        return work
    return interleaved(
        work,
        placement.turns,
        inputs=graph.inputs,
        outputs=graph.outputs,
        axi_bytes=axi_bytes,
    )


def _complete(graph: Graph, chosen: Sequence[tuple[Operation, int]], cores: int) -> None:
    """Every core has work, and what is read is made: a task that one core would fuse with another
    must not be left to a core that would not."""
    made = {*graph.inputs} | {op.sink.storage for op, _ in chosen}
    reads = {name for op, _ in chosen for name in op.reads}
    if not reads <= made or len({core for _, core in chosen}) < cores:
        raise UserError(f"the cores would fuse the tasks of '{graph.name}' in different ways")


def _same_layouts(lowered: Sequence[Lowered]) -> None:
    """Tensors that several cores share must lie alike for all of them."""
    first = lowered[0].views
    for other in lowered[1:]:
        for name, view in other.views.items():
            if name in first and first[name] != view:
                raise UserError(f"tensor '{name}' would lie differently on two cores")
