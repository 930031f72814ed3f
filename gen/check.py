"""Proof that a schedule keeps what the hardware relies on."""

from collections.abc import Mapping

from rtl.config import CONSTANTS, TENSORS
from rtl.fetch import WEIGHTS

from .errors import UserError
from .operation import same
from .order import group_starts, written
from .plan import completed
from .schedule import SPILLS, Phase, Schedule

__all__ = ["check"]


class ScheduleError(UserError):
    """A schedule that the hardware must not run."""


def _fail(phase: Phase | None, unit: str, words: str) -> None:
    where = f"phase '{phase.operation.name}', {unit}" if phase is not None else unit
    raise ScheduleError(f"schedule broken at {where}: {words}")


def _within(schedule: Schedule) -> None:
    """Lifetimes lie inside their buffers, and those that meet in time do not meet in space."""
    lives = schedule.lifetimes
    for i, life in enumerate(lives):
        if life.address % schedule.word_bytes:
            _fail(None, "buffers", f"'{life.storage}' begins at unaligned byte {life.address}")
        if life.address < 0 or life.address + life.size > schedule.buffer_bytes[life.buffer]:
            _fail(None, "buffers", f"'{life.storage}' leaves buffer {life.buffer}")
        for other in lives[:i]:
            if life.shares(other) and other.first <= life.last and life.first <= other.last:
                _fail(
                    None,
                    "buffers",
                    f"'{other.storage}' and '{life.storage}' overlap while both are alive",
                )


def _uses(schedule: Schedule) -> None:
    """Phases use storages that are alive, stay inside them, and read from different buffers."""
    for i, phase in enumerate(schedule.phases):
        op, g = phase.operation, schedule.geometry(phase)
        for unit, index, storage in (
            ("gather", phase.source, op.window.storage),
            ("epilogue", phase.residual, op.residual.place.storage if op.residual else ""),
            ("epilogue", phase.sink, op.sink.storage),
        ):
            if index is None:
                continue
            life = schedule.lifetimes[index]
            if life.storage != storage:
                _fail(phase, unit, f"uses the place of '{life.storage}' for '{storage}'")
            if not life.first <= i <= life.last:
                _fail(phase, unit, f"uses '{storage}' while it is not on chip")
        starts, counts = (g.element_bytes * n for n in group_starts(op, g))
        sink = schedule.lifetimes[phase.sink]
        if starts.min() < 0 or (starts + counts).max() > sink.size:
            _fail(phase, "epilogue", f"writes outside '{sink.storage}'")
        source = schedule.lifetimes[phase.source]
        second = None if phase.residual is None else schedule.lifetimes[phase.residual]
        alone = len(schedule.cores) == 1
        if alone and second is not None and second.buffer == source.buffer:
            _fail(phase, "epilogue", "reads its second operand from the buffer being gathered")
        for low, high in op.window.spans():
            if high > low and (low < 0 or high * g.element_bytes > source.size):
                _fail(phase, "gather", f"reads outside '{source.storage}'")
        if g.unrolled != (op.product is not None):
            _fail(
                phase, "core", "has a product where there is an array, or none where there is one"
            )
        if op.product is not None and not same(op.product.matrix.T, op.weights):
            _fail(phase, "core", "multiplies with other weights than its own")
        if phase.sink in (phase.source, phase.residual):
            _fail(phase, "epilogue", f"writes '{sink.storage}' while reading it")
        if phase.stored - phase.stored_before != len(starts):
            _fail(phase, "epilogue", f"writes {len(starts)} groups, not the number it announces")


def _order(schedule: Schedule) -> None:
    """Data are waited for, what is still needed is not overwritten, and counts are reachable."""
    size, unit = schedule.word_bytes, schedule.element_bytes
    latest = completed(schedule, len(schedule.phases))
    spilled_by: dict[int, int] = {}
    for number, send in enumerate(schedule.sends, start=1):
        for index, life in enumerate(schedule.lifetimes):
            inside = life.address <= send.address < life.address + life.size
            if inside and life.buffer == send.buffer and life.storage == send.name:
                first = (send.address - life.address) // size
                last = -(-(send.address - life.address + send.beats * schedule.axi_bytes) // size)
                if not life.fetched and send.producer != _writer(schedule, index):
                    _fail(None, "send", f"'{send.name}' waits for a core that does not write it")
                if send.stored < latest[index][first:last].max(initial=0):
                    _fail(None, "send", f"'{send.name}' leaves before it is written")
                spilled_by[index] = number
    latest = completed(schedule, 0)
    # Groups that each core has stored, and words that it has gathered, before a phase.
    stored, gathered = [0] * len(schedule.cores), [0] * len(schedule.cores)
    for i, phase in enumerate(schedule.phases):
        op, tokens = phase.operation, phase.gather
        life = schedule.lifetimes[phase.source]
        writer = None if life.fetched else _writer(schedule, phase.source)
        if tokens.producer != writer:
            _fail(phase, "gather", f"waits for the wrong producer of '{life.storage}'")
        spans = op.window.spans()
        for y in op.window.touched_rows():
            low, high = (unit * n for n in spans[y])
            if high <= low:
                continue
            needed = int(latest[phase.source][low // size : (high - 1) // size + 1].max())
            waited = min(tokens.need + tokens.step * y, tokens.limit)
            if waited < needed:
                _fail(phase, "gather", f"reads row {y} of '{life.storage}' before it is written")
            if writer is not None and waited > stored[writer]:
                _fail(phase, "gather", f"waits for {waited} groups, which only come after it")
        if tokens.start > stored[phase.core]:
            _fail(phase, "gather", f"waits for {tokens.start} groups, which only come after it")
        if phase.residual is not None:
            other = schedule.lifetimes[phase.residual]
            needed = int(latest[phase.residual].max())
            waited = phase.epilogue.fetched[TENSORS]
            if not other.fetched:
                waited = phase.epilogue.stored[_writer(schedule, phase.residual)]
            if waited < needed:
                _fail(phase, "epilogue", f"adds '{other.storage}' before it is there")
        epilogue = phase.epilogue
        for what, wanted, there in (
            ("groups", epilogue.stored, stored),
            ("words of a gather unit", epilogue.gathered, gathered),
        ):
            if any(n > most for n, most in zip(wanted, there, strict=True)):
                _fail(phase, "epilogue", f"waits for {what} that only come after it")
        if schedule.lifetimes[phase.sink].first == i:
            _overwrites(schedule, phase, latest, spilled_by)
        if phase.stored_before != stored[phase.core]:
            _fail(
                phase, "epilogue", f"begins at group {phase.stored_before}, not where its core is"
            )
        written(latest[phase.sink], op, schedule.geometry(phase), stored[phase.core], size)
        stored[phase.core] = phase.stored
        gathered[phase.core] += 1


def _overwrites(schedule: Schedule, phase: Phase, latest, spilled_by: Mapping[int, int]) -> None:
    """What lay where a phase writes has left, has landed, and is read by nobody any more."""
    sink = schedule.lifetimes[phase.sink]
    shared = {n for n, o in enumerate(schedule.lifetimes[: phase.sink]) if sink.shares(o)}
    for index in shared:
        other = schedule.lifetimes[index]
        if spilled_by.get(index, 0) > phase.epilogue.sent:
            _fail(phase, "epilogue", f"overwrites '{other.storage}' before it has left")
        landed = int(latest[index].max()) if other.fetched else 0
        if landed > phase.epilogue.fetched[TENSORS]:
            _fail(phase, "epilogue", f"overwrites '{other.storage}' before it has landed")
    gathered = [0] * len(schedule.cores)
    for earlier in schedule.phases:
        if earlier is phase:
            break
        core = earlier.core
        gathered[core] += 1
        if core == phase.core:
            continue
        late = {earlier.residual, earlier.sink} & shared and (
            phase.epilogue.stored[core] < earlier.stored
        )
        if late or (earlier.source in shared and phase.epilogue.gathered[core] < gathered[core]):
            _fail(phase, "epilogue", f"overwrites what '{earlier.operation.name}' still uses")


def _writer(schedule: Schedule, life: int) -> int:
    """The core that writes a lifetime."""
    return next((p.core for p in schedule.phases if p.sink == life), -1)


def _factors(schedule: Schedule) -> None:
    """Weights that the machine has made itself have left the chip before they come back."""
    axi = schedule.axi_bytes
    for fetch in schedule.fetches[CONSTANTS]:
        if fetch.target != WEIGHTS or fetch.region != SPILLS:
            continue
        sent = [
            number
            for number, send in enumerate(schedule.sends, start=1)
            if send.region == SPILLS
            and send.offset < fetch.offset + fetch.beats * axi
            and fetch.offset < send.offset + send.beats * axi
        ]
        if not sent:
            _fail(None, "fetch", f"'{fetch.name}' takes weights that nothing has sent")
        if fetch.sent < max(sent):
            _fail(None, "fetch", f"'{fetch.name}' takes its weights before they have left")


def check(schedule: Schedule) -> None:
    """Raise :class:`UserError` naming the phase and the unit that break a rule.

    The rules: lifetimes lie in their buffers and never overlap in space and time; operands are
    alive where they are used, and on a single core the two of an addition lie in different buffers;
    rows are read, operands added and results sent only after they are written, nothing is
    overwritten that is still to leave, to land or to be read by another core; and no unit waits for
    what only comes after it, so that the units, each in the order of its program, cannot deadlock.
    """
    _within(schedule)
    _uses(schedule)
    _order(schedule)
    _factors(schedule)
