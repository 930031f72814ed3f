"""Fit: the schedule of placed tasks within a memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from rtl.config import Config

from .bands import Turns
from .constants import weight_words_of
from .errors import UserError
from .geometry import word_bytes_for
from .graph import Graph
from .lower import lower
from .lower_segments import Wiring
from .operation import Geometry
from .placement import Placement, groups_of, placed
from .plan import Room, allocated, plan
from .schedule import Schedule
from .target import Target
from .work import Work

__all__ = ["schedule_graph", "schedule_on", "schedule_work", "sufficient"]

BUFFERS = 2
"""Buffers of a specialised machine, unless an addition needs a third."""

MOST_RESIDENT = 2
"""Times the budget; more weights cannot stay on chip, however many of them are equal."""

MOST_KILOBYTES = 1 << 22
"""Beyond this, more on-chip memory is no advice."""


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
    return schedule_work(graph, target, placed(graph, placement, target.offchip_bytes_per_cycle))


def schedule_work(graph: Graph, target: Target, work: Work) -> Schedule:
    """The schedule of what ``graph`` was lowered to, as :func:`schedule_graph` makes it."""
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
        buffers = (plenty,) * count
        try:
            activations = _buffer_bytes(graph, work, Room(buffers, ()), word_bytes)
            if may_stay:
                free = attempt(Room(buffers, resident), streamed=False, channels=1)
                if free.onchip_bytes <= budget:
                    return free
                failure = UserError(f"graph '{graph.name}' needs {free.onchip_bytes} bytes on chip")
                if work.rings:
                    # Weights that were streamed would come again for every band.
                    continue
        except UserError as error:
            failure = error
            continue
        least = activations
        if cores == 1:
            least = _buffer_bytes(graph, work, Room(buffers, (), plenty), word_bytes)
        best: Schedule | None = None
        for room in _rooms(work, resident, budget, Room(buffers, ()), (activations, least)):
            try:
                streamed = computed or room.weight_words != resident
                channels = target.channels if streamed else 1
                result = attempt(room, streamed=streamed, channels=channels)
            except UserError as error:
                failure = error
                continue
            if result.onchip_bytes > budget:
                failure = UserError(
                    f"graph '{graph.name}' needs {result.onchip_bytes} bytes on chip"
                )
            elif not any(life.spilled for life in result.lifetimes):
                return result
            elif best is None or result.moved_bytes < best.moved_bytes:
                best = result
        if best is not None:
            return best
        failure = failure or UserError(
            f"graph '{graph.name}' needs more than {budget} bytes on chip"
        )
    assert failure is not None
    raise failure


def _rooms(
    work: Work, resident: tuple[int, ...], budget: int, free: Room, needs: tuple[int, int]
) -> Iterator[Room]:
    """Ways to divide ``budget`` between buffers and weights: buffers as large as they ``need`` to
    be; of one core as large as if they are spared, or of some shares of the budget together; or of
    equal shares."""
    activations, least = needs
    count = len(free.buffers)
    shares = budget // 2, budget // 4, 3 * budget // 4, 7 * budget // 8
    ways: list[tuple[tuple[int, ...], int | None, int]] = [(free.buffers, None, activations)]
    if len(work.sites) == 1:
        # Cores that overwrite what others have made would wait for each other.
        ways += [(free.buffers, share, share) for share in (least, *shares)]
    ways += [((share // count,) * count, None, share) for share in shares]
    for buffers, together, share in ways:
        words = _shares(work, resident, budget - share)
        if all(n >= 1 for n, every in zip(words, resident, strict=True) if every):
            yield Room(buffers, words, together)


def _resident(work: Work, core: int) -> int:
    """Weight words of a core's operations; a task's bands share theirs."""
    geometry = work.sites[core].geometry
    words: dict[tuple[tuple[str, ...], int], int] = {}
    for op in work.of(core):
        place = 0 if op.weights is None else op.weights.ctypes.data
        words[op.tasks, place] = weight_words_of(op, geometry)
    return sum(words.values())


def _buffer_bytes(graph: Graph, work: Work, room: Room, word_bytes: int) -> int:
    """Bytes of all buffers, and roughly of their copies, as far as ``room`` does not demand to
    spare them; each has an even number of words."""
    peaks = allocated(work, graph.inputs, graph.outputs, room, word_bytes).peaks
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
    together = sum(buffers) if len(config.cores) == 1 else None
    room = Room(buffers, tuple(core.weight_words for core in config.cores), together)
    sizes = config.word_bytes, config.axi_bytes
    schedule = _attempt(graph, work, sizes, room, streamed=streamed, channels=config.channels)
    return replace(schedule, wired=config.patterns)


def sufficient(graph: Graph, target: Target, choices: Sequence[Placement]) -> int | None:
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
