"""Policies: which placements of a graph's tasks are worth an exact look, best first."""

from collections.abc import Callable, Iterator
from itertools import product

from .apart import apart
from .errors import UserError
from .geometry import candidates
from .graph import Dot, Graph
from .partition import Costs, partition
from .placement import Placement
from .target import Target

__all__ = ["POLICIES", "placements"]

POLICIES = ("sequential", "dataflow", "auto")
"""``sequential``: all tasks one after the other on one core with all multipliers. ``dataflow``:
each task on a core of its own, all at once. ``auto``: both, and whatever lies between."""

PARTS = {policy: (policy,) for policy in POLICIES} | {"auto": ("sequential", "dataflow", "between")}
"""What a policy looks among, one after the other: what rarely is the best comes later, so that what
is known then rules most of it out."""

SHAPES = 12
"""Geometries of a single core that are looked at exactly."""

MOST_CORES = 4
"""More cores than this are only looked at where each task has its own."""


def placements(
    graph: Graph,
    target: Target,
    part: str,
    table: Callable[[], Costs],
    progress: Callable[[str], None] = lambda words: None,
) -> Iterator[Placement]:
    """The placements that one of :data:`PARTS` allows and that promise most.

    ``table`` weighs arrays (:func:`gen.partition.costs`); it is called where several cores are
    looked for.

    Raises
    ------
    UserError
        If there is no such policy, or it cannot serve the graph, naming a task.
    """
    if part not in PARTS["auto"]:
        raise UserError(f"--policy must be one of {', '.join(POLICIES)}, not '{part}'")
    # Weights that a core makes lie as its own array takes them, in whole beats.
    alone = next((task.name for task in graph.tasks if isinstance(task, Dot)), None)
    if part == "dataflow" and alone is not None:
        beat = target.offchip_bytes_per_cycle
        raise UserError(
            f"--policy dataflow cannot serve task '{alone}', a product of two computed matrices: "
            f"its core and the one that makes its weights must have equal arrays with weight words "
            f"of whole beats of {beat} bytes, {max(1, beat // graph.element_bytes)} of "
            f"{target.multipliers} multipliers each: use sequential or auto"
        )
    if part == "sequential":
        progress("choosing a geometry")
        for _, geometry in candidates(graph, target, SHAPES):
            yield Placement.single(graph, geometry)
    elif alone is None:
        progress("weighing arrays")
        if part == "dataflow":
            made = apart(graph, target, dense=table().dense)
            if made is not None:
                progress(f"a core for each task, row by row: about {made[1]:,} cycles")
                yield made[0]
        found = _one_each if part == "dataflow" else _between
        yield from found(table(), target.multipliers, progress)


def _between(table: Costs, budget: int, progress: Callable[[str], None]) -> Iterator[Placement]:
    """Several cores, of which some do several tasks."""
    seen: list[Placement] = []
    for cores, turns in product(range(2, min(MOST_CORES, len(table.groups)) + 1), (False, True)):
        found = partition(table, budget, cores, turns=turns)
        if found is not None and found.placement not in seen:
            gap = found.cycles / max(1, found.bound) - 1
            progress(f"{cores} cores: about {found.cycles:,} cycles, {gap:.0%} above the bound")
            seen.append(found.placement)
            yield found.placement


def _one_each(table: Costs, budget: int, progress: Callable[[str], None]) -> Iterator[Placement]:
    """A core for each group of tasks."""
    count = len(table.groups)
    smallest = min((g.multipliers for g in table.cycles), default=budget + 1)
    if count * smallest > budget:
        left = table.groups[budget // smallest][0]
        raise UserError(
            f"--policy dataflow gives each of {count} tasks a core, --multipliers {budget} leaves "
            f"none for task '{left}'; {count * smallest} would suffice"
        )
    if count == 1:
        best = min(table.cycles, key=lambda g: table.cycles[g][0])
        yield Placement((best,), dict.fromkeys(table.groups[0], 0))
        return
    found = partition(table, budget, count, apart=True)
    if found is not None:
        progress(f"a core for each task: about {found.cycles:,} cycles")
        yield found.placement
