"""Compilation: a graph and a target become a schedule, a program and a machine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rtl.config import Config

from .allocate import allocate
from .bands import Turns, interleaved
from .check import check
from .constants import weight_words_of
from .errors import UserError
from .geometry import word_bytes_for
from .graph import Graph
from .lower import lower
from .lower_segments import Wiring
from .machine import Machine, specialise
from .operation import Geometry
from .placement import Placement, groups_of, placed
from .plan import Room, plan
from .policy import placements
from .program import Program, config_for, program
from .schedule import SPILLS, Schedule
from .target import Target
from .timing import Prediction, predict
from .turns import turns
from .unrolled.choice import choose
from .unrolled.choice import placement as with_unrolled
from .work import Work

__all__ = ["Compiled", "compile_graph", "machine_for", "schedule_graph", "schedule_on"]

BUFFERS = 2
"""Buffers of a specialised machine, unless an addition needs a third."""

MOST_RESIDENT = 2
"""Times the budget; more weights cannot stay on chip, however many of them are equal."""

TURNING = 2
"""Geometries for which it is looked for tasks that could take turns."""

MOST_KILOBYTES = 1 << 22
"""Beyond this, more on-chip memory is no advice."""


@dataclass(frozen=True)
class Compiled:
    """Everything between a graph and its Verilog."""

    graph: Graph
    target: Target
    schedule: Schedule
    program: Program
    machine: Machine
    prediction: Prediction


def _attempt(
    graph: Graph,
    work: Work,
    target: tuple[int, int],
    room: Room,
    *,
    streamed: bool,
    channels: int,
) -> Schedule:
    """``work`` planned within ``room``, for a buffer's word and a channel of so many bytes."""
    word_bytes, axi_bytes = target
    return plan(
        graph.name,
        work,
        inputs=graph.inputs,
        outputs=graph.outputs,
        word_bytes=word_bytes,
        axi_bytes=axi_bytes,
        room=room,
        streamed=streamed,
        channels=channels,
    )


def schedule_graph(graph: Graph, target: Target, placement: Placement) -> Schedule:
    """The schedule of ``graph`` on the cores of ``placement``, within ``target``'s memory.

    Weights stay on chip where they fit beside the activations; otherwise they are streamed.

    Raises
    ------
    UserError
        If a task's operands or weights do not fit, saying what would.
    """
    return _schedule(graph, target, placed(graph, placement, target.offchip_bytes_per_cycle))


def _schedule(graph: Graph, target: Target, work: Work) -> Schedule:
    axi_bytes = target.offchip_bytes_per_cycle
    word_bytes = max(
        word_bytes_for(site.geometry, axi_bytes, work.of(core))
        for core, site in enumerate(work.sites)
    )
    attempt = partial(_attempt, graph, work, (word_bytes, axi_bytes))
    plenty = 2 * sum(-(-n // word_bytes) * word_bytes for n in work.storages.values())
    budget = target.onchip_bytes
    resident = tuple(_resident(work, core) for core in range(len(work.sites)))
    weights = sum(n * site.word_bytes for n, site in zip(resident, work.sites, strict=True))
    computed = any(op.factor is not None for op, _ in work.operations)
    may_stay = not computed and weights <= MOST_RESIDENT * budget
    failure: UserError | None = None
    cores = len(work.sites)
    counts = (BUFFERS, BUFFERS + 1) if cores == 1 else (cores + 1,)
    if work.rings and cores == 1:
        # What leaves need not wait for what is gathered.
        counts = (BUFFERS + 1,)
    for count in counts:
        try:
            activations = _buffer_bytes(graph, work, (plenty,) * count, word_bytes)
            if may_stay:
                free = attempt(Room((plenty,) * count, resident), streamed=False, channels=1)
                if free.onchip_bytes <= budget:
                    return free
                failure = UserError(f"graph '{graph.name}' needs {free.onchip_bytes} bytes on chip")
                if work.rings:
                    # Weights that were streamed would come again for every band.
                    continue
        except UserError as error:
            failure = error
            continue
        for share in (activations, budget // 2, budget // 4, 3 * budget // 4, 7 * budget // 8):
            words = _shares(work, resident, budget - share)
            buffers = (plenty if share == activations else share // count,) * count
            starved = any(n < 1 for n, every in zip(words, resident, strict=True) if every)
            if starved or buffers[0] < word_bytes:
                failure = failure or UserError(
                    f"graph '{graph.name}' needs more than {budget} bytes on chip"
                )
                continue
            try:
                streamed = computed or words != resident
                channels = target.channels if streamed else 1
                result = attempt(Room(buffers, words), streamed=streamed, channels=channels)
            except UserError as error:
                failure = error
                continue
            if result.onchip_bytes <= budget:
                return result
            failure = UserError(f"graph '{graph.name}' needs {result.onchip_bytes} bytes on chip")
    assert failure is not None
    raise failure


def _resident(work: Work, core: int) -> int:
    """Weight words of a core's operations; a task's bands share theirs."""
    geometry = work.sites[core].geometry
    words: dict[tuple[tuple[str, ...], int], int] = {}
    for op in work.of(core):
        place = 0 if op.weights is None else op.weights.ctypes.data
        words[op.tasks, place] = weight_words_of(op, geometry)
    return sum(words.values())


def _buffer_bytes(graph: Graph, work: Work, capacities: Sequence[int], word_bytes: int) -> int:
    """Bytes of all buffers, and roughly of their copies, where none has to be spared; each has an
    even number of words."""
    peaks = allocate(
        [op for op, _ in work.operations],
        work.storages,
        inputs=graph.inputs,
        outputs=graph.outputs,
        capacities=capacities,
        align=word_bytes,
        homes=work.homes(graph.inputs),
        rings=work.rings,
    ).peaks
    copies = 1 if len(work.sites) == 1 else 2
    return copies * sum(max(1, -(-peak // (2 * word_bytes))) * 2 * word_bytes for peak in peaks)


def _shares(work: Work, resident: tuple[int, ...], room: int) -> tuple[int, ...]:
    """Weight words of each core within ``room`` bytes, divided as the weights are."""
    sizes = [site.word_bytes for site in work.sites]
    if len(sizes) == 1:
        return (max(0, room // sizes[0]),)
    whole = sum(words * size for words, size in zip(resident, sizes, strict=True))
    share = min(1.0, max(0, room) / max(1, whole))
    return tuple(int(words * share) for words in resident)


def schedule_on(
    graph: Graph,
    config: Config,
    *,
    streamed: bool,
    fuse: bool = True,
    turns: Callable[[Work], Turns] | None = None,
) -> Schedule:
    """The schedule of ``graph`` on a machine that already exists; tasks go round its cores, two
    by two, and take the ``turns`` that are chosen for them.

    Without ``fuse`` every task is an operation of its own, so that every tensor is stored.

    Raises
    ------
    UserError
        If the machine's memories are too small for it.
    """
    geometries = tuple(
        Geometry(core.rows, core.cols, core.depth, core.lanes, core.element_bytes)
        for core in config.cores
    )
    wiring = Wiring(config.patterns, config.segment, config.word_bytes, config.doubled, config.pool)
    groups = groups_of(lower(graph, geometries[0], fuse=fuse, wiring=wiring))
    core = {task: i // 2 % len(geometries) for i, group in enumerate(groups) for task in group}
    taking = turns is not None
    placement = Placement(geometries, core, dense=len(geometries) > 1, rows=taking)
    bits = config.weight_bits
    work = placed(graph, placement, config.axi_bytes, fuse=fuse, weight_bits=bits, wiring=wiring)
    if turns is not None:
        placement = replace(placement, turns=turns(work))
        work = placed(
            graph, placement, config.axi_bytes, fuse=fuse, weight_bits=bits, wiring=wiring
        )
    buffers = tuple(words * config.word_bytes for words in config.buffer_words)
    room = Room(buffers, tuple(core.weight_words for core in config.cores))
    sizes = config.word_bytes, config.axi_bytes
    schedule = _attempt(graph, work, sizes, room, streamed=streamed, channels=config.channels)
    return replace(schedule, wired=config.patterns)


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
    progress
        Called with a few words at every step.

    Raises
    ------
    UserError
        If the graph cannot be served within the target, or by the policy.
    """
    tell = progress or (lambda words: None)
    graph.check()
    best: Compiled | None = None
    chosen: Placement | None = None
    failure: UserError | None = None
    tried: list[Placement] = []
    fixed = Placement.single(graph, geometry) if geometry is not None else None
    unrolled = choose(graph, target, unroll, tell)
    for given in [fixed] if fixed else placements(graph, target, policy, tell):
        placement = with_unrolled(graph, given, unrolled)
        if unrolled and placement in tried:
            continue
        tried.append(placement)
        try:
            schedule = schedule_graph(graph, target, placement)
        except UserError as error:
            failure = failure or error
            continue
        tell(f"predicting {_shapes(placement)}")
        made = _compiled(graph, target, schedule, throttled)
        if best is None or _better(made, best, policy):
            best, chosen = made, placement
    scarce = best is None or best.schedule.region_bytes[SPILLS] > 0
    single = [p for p in tried if len(p.geometries) == 1]
    turning = [p for p in tried if len(p.geometries) > 1] + (single[:TURNING] if scarce else [])
    if turning and fixed is None and not unrolled:
        tell("looking for tasks that could take turns")
        for placement, schedule in _turning(graph, target, turning, policy):
            tell(f"predicting {_shapes(placement)}, in turns")
            made = _compiled(graph, target, schedule, throttled)
            if best is None or _better(made, best, policy):
                best, chosen = made, placement
    if best is not None and chosen is not None and best.schedule.streamed:
        tell("looking for less memory that is as fast")
        best = _leaner(best, chosen, throttled)
    if best is None:
        tell("looking for a budget that suffices")
        raise _refusal(graph, target, tried, failure)
    check(best.schedule)
    return best


def _turning(
    graph: Graph, target: Target, placements: Sequence[Placement], policy: str
) -> Iterator[tuple[Placement, Schedule]]:
    """The same placements with operations that take turns, as far as memory suffices."""
    axi_bytes = target.offchip_bytes_per_cycle
    ends: dict = {"inputs": graph.inputs, "outputs": graph.outputs, "axi_bytes": axi_bytes}
    for given in placements:
        placement = replace(given, rows=True)
        work = placed(graph, placement, axi_bytes)

        def attempt(chosen: Turns, work: Work = work) -> Schedule | None:
            try:
                return _schedule(graph, target, interleaved(work, chosen, **ends))
            except UserError:
                return None

        together = policy != "sequential"
        for chosen, schedule in turns(
            work, graph.inputs, graph.outputs, attempt, together=together
        ):
            yield replace(placement, turns=chosen), schedule


def _shapes(placement: Placement) -> str:
    return " + ".join(f"{g.rows}x{g.cols}x{g.depth}, {g.lanes} lanes" for g in placement.geometries)


def _compiled(graph: Graph, target: Target, schedule: Schedule, throttled: bool) -> Compiled:
    words = program(schedule)
    machine = machine_for(schedule, words, memory=target.memory, throttled=throttled)
    return Compiled(graph, target, schedule, words, machine, predict(schedule, machine.config))


def _leaner(made: Compiled, placement: Placement, throttled: bool) -> Compiled:
    """The same cores with as much less memory, by halves, as costs less than a thousandth of the
    cycles and no further transfers."""
    best = made
    while True:
        try:
            target = replace(made.target, onchip_bytes=best.schedule.onchip_bytes // 2)
            schedule = schedule_graph(made.graph, target, placement)
        except UserError:
            return best
        less = _compiled(made.graph, made.target, schedule, throttled)
        slower = less.prediction.cycles > made.prediction.cycles * 1001 // 1000
        if slower or schedule.region_bytes[SPILLS] > made.schedule.region_bytes[SPILLS]:
            return best
        best = less


def _refusal(
    graph: Graph, target: Target, tried: Sequence[Placement], failure: UserError | None
) -> UserError:
    """What was too small, and what would do."""
    if failure is None:
        few = f"--multipliers {target.multipliers} is too few for an array: 2 would suffice"
        return UserError(few)
    enough = _sufficient(graph, target, tried[:2])
    if enough is None:
        return failure
    return UserError(
        f"{failure}; --onchip {target.onchip_bytes // 1024} is too small for "
        f"'{graph.name}', --onchip {enough} would suffice"
    )


def _sufficient(graph: Graph, target: Target, choices: Sequence[Placement]) -> int | None:
    """The least kilobytes of on-chip memory with which one of ``choices`` can be planned, or None
    where memory is not what is missing."""

    def serves(kilobytes: int) -> bool:
        budget = replace(target, onchip_bytes=kilobytes * 1024)
        for placement in choices:
            try:
                schedule_graph(graph, budget, placement)
            except UserError:
                continue
            return True
        return False

    low = target.onchip_bytes // 1024
    high = 2 * max(1, low)
    while not serves(high):
        if high > MOST_KILOBYTES:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if serves(middle) else (middle, high)
    return high


def _better(made: Compiled, best: Compiled, policy: str) -> bool:
    """Fewer cycles; but with ``sequential``, fewer lanes where they cost less than a two-hundredth
    of the cycles."""
    gain = best.prediction.cycles - made.prediction.cycles
    if policy != "sequential":
        return gain > 0
    ours, theirs = (sum(core.geometry.lanes for core in one.schedule.cores) for one in (made, best))
    margin = best.prediction.cycles // 200
    return gain > (margin if ours > theirs else -margin if ours < theirs else 0)
