"""Compilation: a graph and a target become a schedule, a program and a machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rtl.config import Config

from .allocate import allocate
from .check import check
from .constants import weight_bits_of, weight_words_of
from .errors import UserError
from .geometry import candidates, word_bytes_for
from .graph import Graph
from .lower import Lowered, lower
from .lower_segments import Wiring
from .machine import Machine, specialise
from .operation import Geometry
from .plan import Room, Site, plan
from .program import Program, config_for, program
from .schedule import Schedule
from .target import Target
from .timing import Prediction, predict

__all__ = ["Compiled", "compile_graph", "machine_for", "schedule_graph", "schedule_on"]

BUFFERS = 2
"""Buffers of a specialised machine, unless an addition needs a third."""

MOST_RESIDENT = 2
"""Times the budget; more weights cannot stay on chip, however many of them are equal."""

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


def _planner(
    graph: Graph,
    lowered: Lowered,
    geometry: Geometry,
    word_bytes: int,
    axi_bytes: int,
    weight_bits: int = 8,
):
    """A function that plans the lowered graph within a room, weights streamed or not, on a number
    of channels."""
    if not lowered.operations:
        raise UserError(f"graph '{graph.name}' has no task that computes anything")

    weight_bits = max(weight_bits, weight_bits_of(lowered.operations))

    def attempt(room: Room, streamed: bool, channels: int) -> Schedule:
        return plan(
            graph.name,
            [(op, 0) for op in lowered.operations],
            lowered.storages,
            inputs=graph.inputs,
            outputs=graph.outputs,
            sites=(Site(geometry, weight_bits),),
            word_bytes=word_bytes,
            axi_bytes=axi_bytes,
            room=room,
            streamed=streamed,
            channels=channels,
        )

    return attempt


def schedule_graph(graph: Graph, target: Target, geometry: Geometry) -> Schedule:
    """The schedule of ``graph`` on an array of ``geometry``, within ``target``'s memory.

    Weights stay on chip where they fit beside the activations; otherwise they are streamed.

    Raises
    ------
    UserError
        If a task's operands or weights do not fit, saying what would.
    """
    axi_bytes = target.offchip_bytes_per_cycle
    lowered = lower(graph, geometry)
    word_bytes = word_bytes_for(geometry, axi_bytes, lowered.operations)
    attempt = _planner(graph, lowered, geometry, word_bytes, axi_bytes)
    weight_bytes = geometry.cols * geometry.depth * (weight_bits_of(lowered.operations) // 8)
    plenty = 2 * sum(-(-n // word_bytes) * word_bytes for n in lowered.storages.values())
    budget = target.onchip_bytes
    resident = sum(weight_words_of(op, geometry) for op in lowered.operations)
    may_stay = resident * weight_bytes <= MOST_RESIDENT * budget
    failure: UserError | None = None
    for count in (BUFFERS, BUFFERS + 1):
        try:
            activations = _buffer_bytes(graph, lowered, (plenty,) * count, word_bytes)
            if may_stay:
                free = attempt(Room((plenty,) * count, (resident,)), False, 1)
                if free.onchip_bytes <= budget:
                    return free
        except UserError as error:
            failure = error
            continue
        for share in (activations, budget // 2, budget // 4, 3 * budget // 4, 7 * budget // 8):
            words = (budget - share) // weight_bytes
            buffers = (plenty if share == activations else share // count,) * count
            if words < 1 or buffers[0] < word_bytes:
                continue
            try:
                streamed = words < resident
                channels = target.channels if streamed else 1
                result = attempt(Room(buffers, (words,)), streamed, channels)
            except UserError as error:
                failure = error
                continue
            if result.onchip_bytes <= budget:
                return result
    assert failure is not None
    raise failure


def _buffer_bytes(
    graph: Graph, lowered: Lowered, capacities: Sequence[int], word_bytes: int
) -> int:
    """Bytes of all buffers where none has to be spared; each has an even number of words."""
    peaks = allocate(
        lowered.operations,
        lowered.storages,
        inputs=graph.inputs,
        outputs=graph.outputs,
        capacities=capacities,
        align=word_bytes,
        homes={},
    ).peaks
    return sum(max(1, -(-peak // (2 * word_bytes))) * 2 * word_bytes for peak in peaks)


def schedule_on(graph: Graph, config: Config, *, streamed: bool, fuse: bool = True) -> Schedule:
    """The schedule of ``graph`` on a machine that already exists.

    Without ``fuse`` every task is an operation of its own, so that every tensor is stored.

    Raises
    ------
    UserError
        If the machine's memories are too small for it.
    """
    sizes = config.rows, config.cols, config.depth, config.lanes, config.element_bytes
    geometry = Geometry(*sizes)
    sizes = config.word_bytes, config.axi_bytes, config.weight_bits
    wiring = Wiring(config.patterns, config.segment, config.word_bytes)
    attempt = _planner(graph, lower(graph, geometry, fuse=fuse, wiring=wiring), geometry, *sizes)
    buffers = tuple(words * config.word_bytes for words in config.buffer_words)
    schedule = attempt(Room(buffers, (config.weight_words,)), streamed, config.channels)
    return replace(schedule, wired=config.patterns)


def machine_for(schedule: Schedule, compiled: Program, *, memory: str, throttled: bool) -> Machine:
    """The specialised machine, or with ``memory`` "ram" the general one of the same sizes."""
    config = config_for(schedule, compiled, throttled=throttled)
    general = Machine.general(config)
    return general if memory == "ram" else specialise(general, compiled)


def compile_graph(
    graph: Graph,
    target: Target,
    *,
    geometry: Geometry | None = None,
    throttled: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Compiled:
    """Chooses a geometry, unless one is given, and compiles for it.

    Parameters
    ----------
    throttled
        Adds the input with which a bench holds internal streams.
    progress
        Called with a few words at every step.

    Raises
    ------
    UserError
        If the graph cannot be served within the target.
    """
    tell = progress or (lambda words: None)
    graph.check()
    tell("choosing a geometry")
    shapes = [geometry] if geometry is not None else _shortlist(graph, target)
    best: Compiled | None = None
    failure: UserError | None = None
    for shape in shapes:
        try:
            schedule = schedule_graph(graph, target, shape)
        except UserError as error:
            failure = failure or error
            continue
        tell(f"predicting {shape.rows}x{shape.cols}x{shape.depth}, {shape.lanes} lanes")
        made = _compiled(graph, target, schedule, throttled)
        if best is None or _better(made, best):
            best = made
    if best is not None and best.schedule.streamed:
        tell("looking for less memory that is as fast")
        best = _leaner(best, throttled)
    if best is None:
        tell("looking for a budget that suffices")
        raise _refusal(graph, target, shapes, failure)
    check(best.schedule)
    return best


def _compiled(graph: Graph, target: Target, schedule: Schedule, throttled: bool) -> Compiled:
    words = program(schedule)
    machine = machine_for(schedule, words, memory=target.memory, throttled=throttled)
    return Compiled(graph, target, schedule, words, machine, predict(schedule, machine.config))


def _leaner(made: Compiled, throttled: bool) -> Compiled:
    """The same geometry with as much less weight memory, by halves of all memory, as costs less
    than a thousandth of the cycles."""
    best, target = made, made.target
    while True:
        try:
            target = replace(target, onchip_bytes=best.schedule.onchip_bytes // 2)
            schedule = schedule_graph(made.graph, target, made.schedule.cores[0].geometry)
        except UserError:
            return best
        less = _compiled(made.graph, made.target, schedule, throttled)
        if less.prediction.cycles > made.prediction.cycles * 1001 // 1000:
            return best
        best = less


def _refusal(
    graph: Graph, target: Target, shapes: Sequence[Geometry], failure: UserError | None
) -> UserError:
    """What was too small, and what would do."""
    if failure is None:
        few = f"--multipliers {target.multipliers} is too few for an array: 2 would suffice"
        return UserError(few)
    enough = _sufficient(graph, target, shapes)
    if enough is None:
        return failure
    return UserError(
        f"{failure}; --onchip {target.onchip_bytes // 1024} is too small for "
        f"'{graph.name}', --onchip {enough} would suffice"
    )


def _sufficient(graph: Graph, target: Target, shapes: Sequence[Geometry]) -> int | None:
    """The least kilobytes of on-chip memory with which one of the first shapes can be planned, or
    None where memory is not what is missing."""

    def serves(kilobytes: int) -> bool:
        budget = replace(target, onchip_bytes=kilobytes * 1024)
        for shape in shapes[:2]:
            try:
                schedule_graph(graph, budget, shape)
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


def _better(made: Compiled, best: Compiled) -> bool:
    """Fewer cycles; but fewer lanes where they cost less than a two-hundredth of the cycles."""
    ours, theirs = made.schedule.cores[0].geometry.lanes, best.schedule.cores[0].geometry.lanes
    gain = best.prediction.cycles - made.prediction.cycles
    margin = best.prediction.cycles // 200
    return gain > (margin if ours > theirs else -margin if ours < theirs else 0)


def _shortlist(graph: Graph, target: Target) -> list[Geometry]:
    """The most promising geometries, best first."""
    return [geometry for _, geometry in candidates(graph, target)[:12]]
