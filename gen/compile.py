"""Compilation: a graph and a target become a schedule, a program and a machine."""

from collections.abc import Callable
from dataclasses import dataclass

from .constants import constants
from .errors import UserError
from .geometry import candidates, word_bytes_for
from .graph import Graph
from .lower import lower
from .machine import Machine, specialise
from .operation import Geometry
from .plan import Room, plan
from .program import Program, config_for, program
from .schedule import Schedule
from .target import Target

__all__ = ["Compiled", "compile_graph", "machine_for", "schedule_graph"]

BUFFERS = 2
"""Buffers of a specialised machine, unless an addition needs a third."""


@dataclass(frozen=True)
class Compiled:
    """Everything between a graph and its Verilog."""

    graph: Graph
    target: Target
    schedule: Schedule
    program: Program
    machine: Machine


def schedule_graph(graph: Graph, target: Target, geometry: Geometry) -> Schedule:
    """The schedule of ``graph`` on an array of ``geometry``, within ``target``'s memory.

    Weights stay on chip where they fit beside the activations; otherwise they are streamed.

    Raises
    ------
    UserError
        If a task's operands or weights do not fit, saying what would.
    """
    lowered = lower(graph, geometry)
    if not lowered.operations:
        raise UserError(f"graph '{graph.name}' has no task that computes anything")
    axi_bytes = target.offchip_bytes_per_cycle
    word_bytes = word_bytes_for(geometry, axi_bytes)
    weight_bytes = geometry.cols * geometry.depth

    def attempt(buffers: tuple[int, ...], weight_words: int, streamed: bool) -> Schedule:
        return plan(
            graph.name,
            lowered.operations,
            lowered.storages,
            inputs=graph.inputs,
            outputs=graph.outputs,
            geometry=geometry,
            word_bytes=word_bytes,
            axi_bytes=axi_bytes,
            room=Room(buffers, weight_words),
            streamed=streamed,
        )

    plenty = sum(-(-n // word_bytes) * word_bytes for n in lowered.storages.values())
    budget = target.onchip_bytes
    resident = constants(lowered.operations, geometry, axi_bytes, False).resident_words
    best_error: UserError | None = None
    for count in (BUFFERS, BUFFERS + 1):
        try:
            free = attempt((plenty,) * count, resident, False)
        except UserError as error:
            best_error = error
            continue
        if free.onchip_bytes <= budget:
            return free
        activations = sum(free.buffer_bytes)
        for share in (activations, budget // 2, budget // 4, 3 * budget // 4):
            words = (budget - share) // weight_bytes
            if words < 1 or share < 1:
                continue
            buffers = (plenty,) * count if share == activations else (share // count,) * count
            try:
                result = attempt(buffers, words, words < resident)
            except UserError as error:
                best_error = error
                continue
            if result.onchip_bytes <= budget:
                return result
        break
    raise best_error or UserError(f"--onchip {budget // 1024} is too small for '{graph.name}'")


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
    failure: UserError | None = None
    for shape in shapes:
        try:
            schedule = schedule_graph(graph, target, shape)
        except UserError as error:
            failure = failure or error
            continue
        tell("writing the program")
        compiled = program(schedule)
        machine = machine_for(schedule, compiled, memory=target.memory, throttled=throttled)
        return Compiled(graph, target, schedule, compiled, machine)
    raise failure or UserError(
        f"--multipliers {target.multipliers} is too few: an array needs at least 2"
    )


def _shortlist(graph: Graph, target: Target) -> list[Geometry]:
    """The most promising geometries, best first."""
    return [geometry for _, geometry in candidates(graph, target)[:8]]
