"""Proof that a schedule keeps what the hardware relies on."""

from rtl.config import TENSORS

from .errors import UserError
from .order import group_starts, written
from .plan import completed
from .schedule import Phase, Schedule

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
    g = schedule.geometry
    for i, phase in enumerate(schedule.phases):
        op = phase.operation
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
        if second is not None and second.buffer == source.buffer:
            _fail(phase, "epilogue", "reads its second operand from the buffer being gathered")
        for low, high in op.window.spans():
            if high > low and (low < 0 or high * g.element_bytes > source.size):
                _fail(phase, "gather", f"reads outside '{source.storage}'")
        if phase.sink in (phase.source, phase.residual):
            _fail(phase, "epilogue", f"writes '{sink.storage}' while reading it")
        if phase.stored - phase.stored_before != len(starts):
            _fail(phase, "epilogue", f"writes {len(starts)} groups, not the number it announces")


def _order(schedule: Schedule) -> None:
    """Data are waited for, what is still needed is not overwritten, and counts are reachable."""
    g, size = schedule.geometry, schedule.word_bytes
    latest = completed(schedule, len(schedule.phases))
    spilled_by: dict[int, int] = {}
    for number, send in enumerate(schedule.sends, start=1):
        for index, life in enumerate(schedule.lifetimes):
            inside = life.address <= send.address < life.address + life.size
            if inside and life.buffer == send.buffer and life.storage == send.name:
                first = (send.address - life.address) // size
                last = -(-(send.address - life.address + send.beats * schedule.axi_bytes) // size)
                if send.stored < latest[index][first:last].max(initial=0):
                    _fail(None, "send", f"'{send.name}' leaves before it is written")
                spilled_by[index] = number
    latest = completed(schedule, 0)
    for i, phase in enumerate(schedule.phases):
        if i:
            before = schedule.phases[i - 1]
            written(latest[before.sink], before.operation, g, before.stored_before, size)
        op, tokens = phase.operation, phase.gather
        life = schedule.lifetimes[phase.source]
        if tokens.fetched != life.fetched:
            _fail(phase, "gather", f"waits for the wrong producer of '{life.storage}'")
        spans = op.window.spans()
        for y in op.window.touched_rows():
            low, high = (g.element_bytes * n for n in spans[y])
            if high <= low:
                continue
            needed = int(latest[phase.source][low // size : (high - 1) // size + 1].max())
            waited = min(tokens.need + tokens.step * y, tokens.limit)
            if waited < needed:
                _fail(phase, "gather", f"reads row {y} of '{life.storage}' before it is written")
            if not life.fetched and waited > phase.stored_before:
                _fail(phase, "gather", f"waits for {waited} groups, which only come after it")
        if tokens.start > phase.stored_before:
            _fail(phase, "gather", f"waits for {tokens.start} groups, which only come after it")
        if phase.residual is not None:
            other = schedule.lifetimes[phase.residual]
            needed = int(latest[phase.residual].max())
            waited = phase.epilogue.fetched[TENSORS] if other.fetched else phase.epilogue.stored
            if waited < needed:
                _fail(phase, "epilogue", f"adds '{other.storage}' before it is there")
        if phase.epilogue.stored > phase.stored_before:
            _fail(phase, "epilogue", "waits for groups that only come after it")
        sink = schedule.lifetimes[phase.sink]
        for index, other in enumerate(schedule.lifetimes[: phase.sink]):
            if not sink.shares(other):
                continue
            if spilled_by.get(index, 0) > phase.epilogue.sent and sink.first == i:
                _fail(phase, "epilogue", f"overwrites '{other.storage}' before it has left")
            landed = int(latest[index].max()) if other.fetched else 0
            if landed > phase.epilogue.fetched[TENSORS] and sink.first == i:
                _fail(phase, "epilogue", f"overwrites '{other.storage}' before it has landed")


def check(schedule: Schedule) -> None:
    """Raise :class:`UserError` naming the phase and the unit that break a rule.

    The rules: lifetimes lie in their buffers and never overlap in space and time; operands are
    alive where they are used, and the two of an addition lie in different buffers; rows are read,
    operands added and results sent only after they are written, nothing is overwritten that is
    still to leave or to land; and no unit waits for what only comes after it, so that the units,
    each in the order of its program, cannot deadlock.
    """
    _within(schedule)
    _uses(schedule)
    _order(schedule)
