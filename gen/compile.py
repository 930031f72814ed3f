"""Compilation: a graph and a target become a schedule, a program and a machine."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice

from .bands import Turns, interleaved
from .check import check
from .cost import steps
from .errors import UserError
from .fit import schedule_graph, schedule_work, sufficient
from .graph import Graph
from .machine import Machine, specialise
from .operation import Geometry
from .partition import Costs, costs
from .placement import Placement, placed
from .policy import PARTS, placements
from .program import Program, config_for, program
from .schedule import SPILLS, Schedule
from .target import Target
from .timing import Prediction, predict_within
from .traffic import LATER
from .turns import turns
from .unrolled.choice import Unrolled, choose
from .unrolled.choice import placement as with_unrolled
from .work import Work

__all__ = ["Compiled", "compile_graph", "machine_for"]

TURNING = 2
"""Geometries for which it is looked for tasks that could take turns."""


@dataclass(frozen=True)
class Compiled:
    """Everything between a graph and its Verilog."""

    graph: Graph
    target: Target
    schedule: Schedule
    program: Program
    machine: Machine
    prediction: Prediction


def machine_for(schedule: Schedule, compiled: Program, *, memory: str, throttled: bool) -> Machine:
    """The specialised machine, or with ``memory`` "ram" the general one of the same sizes."""
    config = config_for(schedule, compiled, throttled=throttled)
    general = Machine.general(config)
    if memory == "ram":
        return general
    sums = [schedule.scaled_bits(core) for core in range(len(schedule.cores))]
    return specialise(general, compiled, sums)


def compile_graph(
    graph: Graph,
    target: Target,
    *,
    geometry: Geometry | None = None,
    policy: str = "sequential",
    unroll: str = "none",
    throttled: bool = False,
    known: Sequence[Compiled] = (),
    progress: Callable[[str], None] | None = None,
) -> Compiled:
    """Chooses cores by a policy, unless a geometry is given, and compiles for them.

    Parameters
    ----------
    geometry
        Of the only core.
    policy
        One of :data:`gen.policy.POLICIES`; for what is not unrolled.
    unroll
        Which tasks are unrolled, as :func:`gen.unrolled.choice.choose` takes it.
    throttled
        Adds the input with which a bench holds internal streams.
    known
        What ``sequential`` and ``dataflow`` made of the same, so that ``auto`` only looks between
        them.
    progress
        Called with a few words at every step.

    Raises
    ------
    UserError
        If the graph cannot be served within the target, or by the policy.
    """
    tell = progress or (lambda words: None)
    graph.check()
    unrolled = choose(graph, target, unroll, tell)
    known = known if policy == "auto" else ()
    best = min(known, key=_cost, default=None)
    tried = [_only(graph, made) for made in known if len(made.schedule.cores) == 1]
    failure: UserError | None = None
    refusal: UserError | None = None
    parts = PARTS.get(policy, (policy,)) if best is None else ("between",)
    if geometry is not None:
        parts = ("fixed",)
    table = cache(partial(costs, graph, target, target.multipliers))
    for part in parts:
        if part == "between" and best is not None and not unrolled and _busy(best):
            tell("all multipliers are busy")
            break
        search = _Search(graph, target, unrolled, throttled, part, table, tell)
        search.known = tried
        search.limit = best.prediction.cycles if best is not None else LATER
        try:
            if geometry is not None:
                search.try_all([Placement.single(graph, geometry)])
            else:
                search.try_all(search.placements(part))
                search.try_turns()
        except UserError as error:
            # What cannot be dataflow may be something else.
            refusal = error if part in (policy, "sequential", "fixed") else refusal
        found = search.leaner()
        best = min((one for one in (found, best) if one is not None), key=_cost, default=None)
        # What one core needs is said first.
        tried, failure = [*tried, *search.tried], failure or search.failure
    if best is None and refusal is not None:
        raise refusal
    if best is None:
        tell("looking for a budget that suffices")
        raise _refusal(graph, target, tried, failure)
    check(best.schedule)
    return best


def _busy(made: Compiled) -> bool:
    """Whether the multipliers rest for less than a thousandth of the cycles."""
    least = -(-made.graph.macs() // made.target.multipliers)
    return least <= made.prediction.cycles <= least * 1001 // 1000


def _cost(made: Compiled) -> tuple[int, int]:
    """Cycles, and of equally quick ones, cores."""
    return made.prediction.cycles, len(made.schedule.cores)


@dataclass
class _Search:
    """The best among what one part of a policy allows, and all that was tried for it."""

    graph: Graph
    target: Target
    unrolled: tuple[Unrolled, ...]
    throttled: bool
    part: str
    table: Callable[[], Costs]
    tell: Callable[[str], None]
    limit: int = LATER
    """Cycles beyond which nobody is interested."""
    best: Compiled | None = None
    chosen: Placement | None = None
    known: Sequence[Placement] = ()
    """What other parts have tried."""
    tried: list[Placement] = field(default_factory=list)
    failure: UserError | None = None
    ample: bool = False
    """Whether a schedule, even one that was too slow, had all its tensors on chip."""

    def try_all(self, given: Iterable[Placement]) -> None:
        """Schedule and time placements, each with what is unrolled."""
        for one in given:
            placement = with_unrolled(self.graph, one, self.unrolled)
            if placement in self.known or (self.unrolled and placement in self.tried):
                continue
            self.tried.append(placement)
            try:
                work = placed(self.graph, placement, self.target.offchip_bytes_per_cycle)
                if self._slow(work):
                    continue
                schedule = schedule_work(self.graph, self.target, work)
            except UserError as error:
                self.failure = self.failure or error
                continue
            self._take(placement, schedule, "")

    def try_turns(self) -> None:
        """The same placements with operations that take turns, as far as memory suffices: on
        several cores, or where tensors lie off chip otherwise."""
        if self.unrolled:
            return
        several = [p for p in self.tried if len(p.geometries) > 1]
        given = several + [p for p in self._single() if self._scarce(p)]
        if given:
            self.tell("looking for tasks that could take turns")
        for one in given:
            for placement, schedule in self._turning(one):
                self._take(placement, schedule, ", in turns")

    def _single(self) -> list[Placement]:
        """The best placements on one core."""
        between = self.part == "between"
        every = (*self.tried, *self.known) if between else self.tried
        found = [p for p in every if len(p.geometries) == 1]
        if not found and between:
            found = [*islice(self.placements("sequential"), TURNING)]
        return found[:TURNING]

    def placements(self, part: str) -> Iterator[Placement]:
        """What a part of a policy allows."""
        return placements(self.graph, self.target, part, self.table, self.tell)

    def _scarce(self, single: Placement) -> bool:
        """Whether not all tensors and weights stay on chip where tasks follow each other on one
        core, and its array waits for those that do not."""
        made = None if self.part == "between" else self.best
        if made is None and self.part != "between":
            return not self.ample
        try:
            work = placed(self.graph, single, self.target.offchip_bytes_per_cycle)
            schedule = made.schedule if made else schedule_work(self.graph, self.target, work)
        except UserError:
            return True
        waits = 101 * self._busiest(work) < 100 * self._most()
        return _spills(schedule) or (schedule.streamed and waits)

    def _turning(self, given: Placement) -> Iterator[tuple[Placement, Schedule]]:
        axi_bytes = self.target.offchip_bytes_per_cycle
        ends: dict = {"inputs": self.graph.inputs, "outputs": self.graph.outputs}
        placement = replace(given, rows=True)
        work = placed(self.graph, placement, axi_bytes)
        if self._slow(work):
            return

        def attempt(chosen: Turns) -> Schedule | None:
            taking = interleaved(work, chosen, **ends, axi_bytes=axi_bytes)
            if self._streaming(taking) > self._most():
                return None
            try:
                return schedule_work(self.graph, self.target, taking)
            except UserError:
                return None

        together = self.part != "sequential"
        again = self._streaming(work) > 0
        for chosen, schedule in turns(
            work, **ends, attempt=attempt, together=together, again=again
        ):
            yield replace(placement, turns=chosen), schedule

    def _take(self, placement: Placement, schedule: Schedule, how: str) -> None:
        """Time a schedule and keep it if it is better."""
        self.tell(f"predicting {_shapes(placement)}{how}")
        self.ample |= not _spills(schedule)
        if max(sum(fetch.beats for fetch in own) for own in schedule.fetches) > self._most():
            return
        made = _compiled(self, schedule, self._most())
        if made is not None and (self.best is None or _better(made, self.best, self.part)):
            self.best, self.chosen = made, placement

    def _most(self) -> int:
        """Cycles beyond which a schedule would not be kept."""
        limit = self.limit
        if self.best is not None:
            limit = min(limit, self.best.prediction.cycles)
        return limit + _margin(limit, self.part)

    def _slow(self, work: Work) -> bool:
        """Whether the steps of an array alone are too many, so that no schedule need be made."""
        return self._busiest(work) > self._most()

    def _busiest(self, work: Work) -> int:
        """The most steps of an array."""
        busy = [0] * len(work.sites)
        for op, core in work.operations:
            busy[core] += steps(op, work.sites[core].geometry)
        return max(busy)

    def _streaming(self, work: Work) -> int:
        """Cycles in which the channel brings what no memory could keep of an operation's weights
        from one of its bands to the next."""
        bits = 0
        for op, core in work.operations:
            if op.weights is not None and op.product is None:
                own = op.weights.size * work.sites[core].weight_bits
                bits += own if own > 8 * self.target.onchip_bytes else 0
        return bits // (8 * self.target.offchip_bytes_per_cycle)

    def leaner(self) -> Compiled | None:
        """The best; where weights are streamed, the same cores with as much less memory, by
        halves, as costs less than a thousandth of the cycles and no further transfers."""
        if self.best is None or self.chosen is None or not self.best.schedule.streamed:
            return self.best
        self.tell("looking for less memory that is as fast")
        best, spilled = self.best, self.best.schedule.region_bytes[SPILLS]
        limit = best.prediction.cycles * 1001 // 1000
        while True:
            target = replace(self.target, onchip_bytes=best.schedule.onchip_bytes // 2)
            try:
                schedule = schedule_graph(self.graph, target, self.chosen)
            except UserError:
                return best
            less = _compiled(self, schedule, limit)
            if less is None or schedule.region_bytes[SPILLS] > spilled:
                return best
            best = less


def _spills(schedule: Schedule) -> bool:
    """Whether tensors leave the chip for a while."""
    return schedule.region_bytes[SPILLS] > 0


def _only(graph: Graph, made: Compiled) -> Placement:
    """All tasks on the core that somebody chose for them."""
    return Placement.single(graph, made.schedule.cores[0].geometry)


def _shapes(placement: Placement) -> str:
    return " + ".join(f"{g.rows}x{g.cols}x{g.depth}, {g.lanes} lanes" for g in placement.geometries)


def _compiled(search: _Search, schedule: Schedule, limit: int) -> Compiled | None:
    """All that comes after the schedule, or None if it takes more than ``limit`` cycles."""
    words = program(schedule)
    memory, throttled = search.target.memory, search.throttled
    machine = machine_for(schedule, words, memory=memory, throttled=throttled)
    prediction = predict_within(schedule, machine.config, limit)
    if prediction is None:
        return None
    return Compiled(search.graph, search.target, schedule, words, machine, prediction)


def _refusal(
    graph: Graph, target: Target, tried: Sequence[Placement], failure: UserError | None
) -> UserError:
    """What was too small, and what would do."""
    if failure is None:
        few = f"--multipliers {target.multipliers} is too few for an array: 2 would suffice"
        return UserError(few)
    enough = sufficient(graph, target, tried[:2])
    if enough is None:
        return failure
    return UserError(
        f"{failure}; --onchip {target.onchip_bytes // 1024} is too small for "
        f"'{graph.name}', --onchip {enough} would suffice"
    )


def _margin(cycles: int, part: str) -> int:
    """Cycles that fewer lanes may cost."""
    return cycles // 200 if part in ("sequential", "fixed") else 0


def _better(made: Compiled, best: Compiled, part: str) -> bool:
    """Fewer cycles; but on the only core, fewer lanes where they cost less than a two-hundredth of
    the cycles."""
    gain = best.prediction.cycles - made.prediction.cycles
    margin = _margin(best.prediction.cycles, part)
    ours, theirs = (sum(core.geometry.lanes for core in one.schedule.cores) for one in (made, best))
    return gain > (margin if ours > theirs else -margin if ours < theirs and margin else 0)
