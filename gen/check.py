"""Proof that a schedule keeps what the hardware relies on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from rtl.config import TENSORS
from rtl.fetch import TENSOR, WEIGHTS

from .allocate import Lifetime
from .errors import UserError
from .operation import same
from .order import group_starts, operand_bytes, written_bytes
from .schedule import SPILLS, FetchPlan, Phase, Schedule

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
        for second, other in enumerate(lives[:i]):
            shared = life.shares(other) and _meet(life, other)
            if shared and not _yields(schedule, i, second):
                _fail(
                    None,
                    "buffers",
                    f"'{other.storage}' and '{life.storage}' overlap while both are alive",
                )


def _meet(life: Lifetime, other: Lifetime) -> bool:
    return other.first <= life.last and life.first <= other.last


def _yields(schedule: Schedule, life: int, second: int) -> bool:
    """Whether a lifetime takes the place of one that is only read as the second operand of those
    phases that write it, each byte just before it is written, and once."""
    ours, theirs = schedule.lifetimes[life], schedule.lifetimes[second]
    if ours.fetched or (ours.address, ours.size) != (theirs.address, theirs.size):
        return False
    spans = []
    for phase in schedule.phases[ours.first : max(ours.last, theirs.last) + 1]:
        op, unit = phase.operation, schedule.element_bytes
        if (phase.sink == life) != (phase.residual == second) or phase.source == second:
            return False
        if phase.sink == life:
            assert op.residual is not None
            if replace(op.residual.place, storage=op.sink.storage) != op.sink:
                return False
            starts, counts = (unit * n for n in group_starts(op, schedule.geometry(phase)))
            spans.append(np.stack([starts, starts + counts]))
    low, high = np.sort(np.concatenate(spans, axis=1), axis=1)
    return bool((low[1:] >= high[:-1]).all())


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
        if starts.min() < 0 or (starts + counts).max() > sink.extent:
            _fail(phase, "epilogue", f"writes outside '{sink.storage}'")
        source = schedule.lifetimes[phase.source]
        second = None if phase.residual is None else schedule.lifetimes[phase.residual]
        alone = len(schedule.cores) == 1
        if alone and second is not None and second.buffer == source.buffer:
            _fail(phase, "epilogue", "reads its second operand from the buffer being gathered")
        for low, high in op.window.spans():
            if high > low and (low < 0 or high * g.element_bytes > source.extent):
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


class _Progress:
    """What has happened before a phase, as far as the order of phases says: groups stored and words
    gathered by each core, and for each beat of a lifetime the count at which it is there."""

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.size = schedule.axi_bytes
        self.stored = [0] * len(schedule.cores)
        self.gathered = [0] * len(schedule.cores)
        self.latest = [
            np.zeros(-(-life.extent // self.size), dtype=np.int64) for life in schedule.lifetimes
        ]
        self.end = [0] * len(schedule.lifetimes)
        # Of each lifetime its transfers from memory, and the beats that have come before each.
        self.landings: list[list[tuple[FetchPlan, int]]] = [[] for _ in schedule.lifetimes]
        beats = 0
        for fetch in schedule.fetches[TENSORS]:
            if fetch.target == TENSOR:
                self.landings[fetch.life].append((fetch, beats))
            beats += fetch.beats

    def store(self, phase: Phase) -> None:
        """The phase has run."""
        op, geometry = phase.operation, self.schedule.geometry(phase)
        starts, counts = (geometry.element_bytes * n for n in group_starts(op, geometry))
        serial = self.stored[phase.core] + 1 + np.arange(len(starts))
        last = starts + counts - 1
        for at in range(0, int(counts.max()) + self.size, self.size):
            beats = np.minimum(starts + at, last) // self.size
            np.maximum.at(self.latest[phase.sink], beats, serial)
        self.end[phase.sink] = max(self.end[phase.sink], int(last.max()) + 1)
        self.stored[phase.core] = phase.stored
        self.gathered[phase.core] += 1

    def second(self, phase: Phase) -> int:
        """The count at which the second operand of a phase is there, which no fetch brings."""
        op, geometry = phase.operation, self.schedule.geometry(phase)
        assert op.residual is not None
        assert phase.residual is not None
        groups = group_starts(replace(op, sink=op.residual.place), geometry)
        starts, counts = (geometry.element_bytes * n for n in groups)
        last = starts + counts - 1
        steps = range(0, int(counts.max()) + self.size, self.size)
        beats = [np.minimum(starts + at, last) // self.size for at in steps]
        return int(self.latest[phase.residual][np.concatenate(beats)].max(initial=0))

    def needed(self, life: int, low: int, high: int) -> int:
        """The count at which bytes from ``low`` to before ``high`` are there."""
        if not self.schedule.lifetimes[life].fetched:
            words = slice(low // self.size, -(-high // self.size))
            return int(self.latest[life][words].max(initial=0))
        count = 0
        for fetch, before in self.landings[life]:
            end = min(high, fetch.first + fetch.beats * self.size)
            if max(low, fetch.first) < end:
                count = before + -(-(end - fetch.first) // self.size)
        return count

    def there(self, life: int, high: int) -> bool:
        """Whether bytes before ``high`` of a ring are there at all."""
        if not self.schedule.lifetimes[life].fetched:
            return high <= self.end[life]
        ends = (fetch.first + fetch.beats * self.size for fetch, _ in self.landings[life])
        return high <= max(ends, default=0)


def _order(schedule: Schedule) -> None:
    """Data are waited for, and counts are reachable."""
    progress = _Progress(schedule)
    for phase in schedule.phases:
        _gathers(schedule, phase, progress)
        _adds(schedule, phase, progress)
        epilogue = phase.epilogue
        for what, wanted, there in (
            ("groups", epilogue.stored, progress.stored),
            ("words of a gather unit", epilogue.gathered, progress.gathered),
        ):
            if any(n > most for n, most in zip(wanted, there, strict=True)):
                _fail(phase, "epilogue", f"waits for {what} that only come after it")
        if _late(schedule, epilogue.sent, progress.stored):
            _fail(phase, "epilogue", "waits for transfers that only come after it")
        if phase.stored_before != progress.stored[phase.core]:
            _fail(
                phase, "epilogue", f"begins at group {phase.stored_before}, not where its core is"
            )
        progress.store(phase)
    for send in schedule.sends:
        life = schedule.lifetimes[send.life]
        if not life.fetched and send.producer != _writer(schedule, send.life):
            _fail(None, "send", f"'{send.name}' waits for a core that does not write it")
        high = send.first + send.beats * schedule.axi_bytes
        if send.stored < progress.needed(send.life, send.first, min(high, life.extent)):
            _fail(None, "send", f"'{send.name}' leaves before it is written")


def _gathers(schedule: Schedule, phase: Phase, progress: _Progress) -> None:
    """Rows that a phase gathers are waited for, and come from earlier phases."""
    op, tokens, unit = phase.operation, phase.gather, schedule.element_bytes
    life = schedule.lifetimes[phase.source]
    writer = None if life.fetched else _writer(schedule, phase.source)
    if tokens.producer != writer:
        _fail(phase, "gather", f"waits for the wrong producer of '{life.storage}'")
    pieces = op.window.pieces()
    for y in op.window.touched_rows():
        read = [(unit * low, unit * high) for low, high in pieces[y] if high > low]
        if not read:
            continue
        waited = min(tokens.need + tokens.step * y, tokens.limit)
        absent = life.ring is not None and not progress.there(phase.source, read[-1][1])
        if absent or any(waited < progress.needed(phase.source, *piece) for piece in read):
            _fail(phase, "gather", f"reads row {y} of '{life.storage}' before it is written")
        if writer is not None and waited > progress.stored[writer]:
            _fail(phase, "gather", f"waits for {waited} groups, which only come after it")
    if tokens.start > progress.stored[phase.core]:
        _fail(phase, "gather", f"waits for {tokens.start} groups, which only come after it")


def _adds(schedule: Schedule, phase: Phase, progress: _Progress) -> None:
    """The second operand of a phase is there when its first group is taken."""
    if phase.residual is None:
        return
    other = schedule.lifetimes[phase.residual]
    low, high = operand_bytes(phase.operation, schedule.geometry(phase))[1]
    if other.fetched:
        waited = phase.epilogue.fetched[TENSORS]
        needed = progress.needed(phase.residual, low, high)
    else:
        waited = phase.epilogue.stored[_writer(schedule, phase.residual)]
        needed = progress.second(phase)
    absent = other.ring is not None and not progress.there(phase.residual, high)
    if absent or waited < needed:
        _fail(phase, "epilogue", f"adds '{other.storage}' before it is there")


def _late(schedule: Schedule, sent: int, stored: Sequence[int]) -> bool:
    """Whether one of the first ``sent`` transfers only goes once more groups are stored."""
    return any(send.stored > stored[send.producer] for send in schedule.sends[:sent]
               if not schedule.lifetimes[send.life].fetched)  # fmt: skip


@dataclass(frozen=True)
class _Use:
    """A phase's use of a lifetime from byte ``low`` on: as the source of its gather unit, which is
    over with so many words ``gathered``, or by its epilogue, which is over with so many groups."""

    phase: int
    life: int
    low: int
    core: int
    gathered: int | None
    stored: int


def _used(schedule: Schedule) -> list[_Use]:
    """Every use of a lifetime, in the order of phases."""
    uses: list[_Use] = []
    gathered = [0] * len(schedule.cores)
    for i, phase in enumerate(schedule.phases):
        core = phase.core
        gathered[core] += 1
        first, second = operand_bytes(phase.operation, schedule.geometry(phase))
        uses.append(_Use(i, phase.source, first[0], core, gathered[core], phase.stored))
        if phase.residual is not None:
            uses.append(_Use(i, phase.residual, second[0], core, None, phase.stored))
        uses.append(_Use(i, phase.sink, 0, core, None, phase.stored))
    return uses


@dataclass(frozen=True)
class _Write:
    """What a phase or a transfer writes of a lifetime, up to byte ``end``, and what it waits for.

    ``now`` is the first phase that it must not wait for; ``core`` the one whose epilogue writes.
    """

    phase: Phase | None
    unit: str
    name: str
    now: int
    life: int
    end: int
    core: int | None
    gathered: tuple[int, ...]
    stored: tuple[int, ...]
    sent: int
    fetched: int | None


def _writes(schedule: Schedule, uses: Sequence[_Use]) -> list[_Write]:
    """Every write to a buffer."""
    result = []
    for i, phase in enumerate(schedule.phases):
        tokens = phase.epilogue
        name = phase.operation.name
        _, end = written_bytes(phase.operation, schedule.geometry(phase))
        result.append(
            _Write(phase, "epilogue", name, i, phase.sink, end, phase.core, tokens.gathered,
                   tokens.stored, tokens.sent, tokens.fetched[TENSORS])
        )  # fmt: skip
    phases = len(schedule.phases)
    for fetch in schedule.fetches[TENSORS]:
        if fetch.target != TENSOR:
            continue
        end = fetch.first + fetch.beats * schedule.axi_bytes
        readers = (use.phase for use in uses if use.life == fetch.life)
        if schedule.lifetimes[fetch.life].ring is not None:
            ends = {u.phase: _reach(schedule, u) for u in uses if u.life == fetch.life}
            readers = (phase for phase, high in ends.items() if high > fetch.first)
        now = min(readers, default=phases)
        result.append(
            _Write(None, "fetch", fetch.name, now, fetch.life, end, None, fetch.gathered,
                   fetch.stored, fetch.sent, None)
        )  # fmt: skip
    return result


def _reach(schedule: Schedule, use: _Use) -> int:
    """The byte before which everything lies that a use reads."""
    phase = schedule.phases[use.phase]
    operands = operand_bytes(phase.operation, schedule.geometry(phase))
    return operands[0 if use.gathered is not None else 1][1]


def _overwrites(schedule: Schedule) -> None:
    """What lay where something is written has left, has landed, and is read by nobody any more;
    and nothing that is written waits for what must wait for it."""
    uses = _used(schedule)
    of_life = [_Uses([u for u in uses if u.life == n], schedule)
               for n in range(len(schedule.lifetimes))]  # fmt: skip
    landings = _landings(schedule)
    for write in _writes(schedule, uses):
        life = schedule.lifetimes[write.life]
        gone = {
            n: other.extent
            for n, other in enumerate(schedule.lifetimes[: write.life])
            if life.shares(other)
        }
        if life.ring is not None and life.extent > life.size and write.end > life.ring.size:
            gone[write.life] = write.end - life.ring.size
        for other, end in gone.items():
            before = of_life[other]
            if other != write.life and _meet(life, schedule.lifetimes[other]):
                # It yields, as was checked, to those who read it.
                earlier = [u for u in uses if u.life == other and u.phase < life.first]
                before = _Uses(earlier, schedule)
            phase = before.in_the_way(write, end)
            if phase is not None:
                user = schedule.phases[phase].operation.name
                _fail(write.phase, write.unit, f"overwrites what '{user}' still uses")
        if gone:
            _leaves(schedule, write, gone, landings)
        _reachable(schedule, write, uses)


class _Uses:
    """The uses of a lifetime."""

    def __init__(self, uses: Sequence[_Use], schedule: Schedule):
        self.phase = np.array([use.phase for use in uses], dtype=np.int64)
        self.low = np.array([use.low for use in uses], dtype=np.int64)
        self.core = np.array([use.core for use in uses], dtype=np.int64)
        self.gathers = np.array([use.gathered is not None for use in uses], dtype=bool)
        self.count = np.array([use.gathered or use.stored for use in uses], dtype=np.int64)
        sinks = (schedule.phases[use.phase].sink == use.life for use in uses)
        self.writes = np.fromiter(sinks, dtype=bool, count=len(uses)) & ~self.gathers
        self.life = uses[0].life if uses else None

    def in_the_way(self, write: _Write, end: int) -> int | None:
        """The first phase that uses bytes before ``end`` and for which ``write`` does not wait."""
        tokens = np.where(
            self.gathers, np.array(write.gathered)[self.core], np.array(write.stored)[self.core]
        )
        waits = (self.core == (-1 if write.core is None else write.core)) | (tokens >= self.count)
        wrong = (self.low < end) & ((self.phase >= write.now) | ~waits)
        if self.life == write.life:
            wrong &= ~self.writes
        return int(self.phase[wrong][0]) if wrong.any() else None


def _landings(schedule: Schedule) -> list[tuple[FetchPlan, int]]:
    """Transfers to buffers, and the beats that have come when each is over."""
    beats = accumulate(fetch.beats for fetch in schedule.fetches[TENSORS])
    pairs = zip(schedule.fetches[TENSORS], beats, strict=True)
    return [(fetch, after) for fetch, after in pairs if fetch.target == TENSOR]


def _leaves(
    schedule: Schedule,
    write: _Write,
    gone: Mapping[int, int],
    landings: Sequence[tuple[FetchPlan, int]],
) -> None:
    """What is overwritten has left, if it must, and what was on its way has landed."""
    for number, send in enumerate(schedule.sends, start=1):
        if send.first < gone.get(send.life, 0) and write.sent < number:
            _fail(write.phase, write.unit, f"overwrites '{send.name}' before it has left")
    for fetch, beats in landings:
        landing = fetch.first < gone.get(fetch.life, 0)
        if landing and write.fetched is not None and write.fetched < beats:
            _fail(write.phase, write.unit, f"overwrites '{fetch.name}' before it has landed")


def _reachable(schedule: Schedule, write: _Write, uses: Sequence[_Use]) -> None:
    """A transfer waits for nothing that comes after the first phase that waits for it."""
    if write.unit != "fetch":
        return
    stored = [0] * len(schedule.cores)
    gathered = [0] * len(schedule.cores)
    for use in uses:
        if use.phase < write.now:
            stored[use.core] = max(stored[use.core], use.stored)
            gathered[use.core] = max(gathered[use.core], use.gathered or 0)
    counts = ((write.gathered, gathered), (write.stored, stored))
    if any(n > most for pair in counts for n, most in zip(*pair, strict=True)) or _late(
        schedule, write.sent, stored
    ):
        _fail(None, "fetch", f"'{write.name}' waits for what only comes after it")


def _writer(schedule: Schedule, life: int) -> int:
    """The core that writes a lifetime."""
    return next((p.core for p in schedule.phases if p.sink == life), -1)


def _returns(schedule: Schedule) -> None:
    """What comes back from off chip, rows or weights that the machine has made, has left before."""
    axi = schedule.axi_bytes
    for fetch in (fetch for channel in schedule.fetches for fetch in channel):
        if fetch.region != SPILLS:
            continue
        sent = [
            number
            for number, send in enumerate(schedule.sends, start=1)
            if send.region == SPILLS
            and send.offset < fetch.offset + fetch.beats * axi
            and fetch.offset < send.offset + send.beats * axi
        ]
        what = "takes weights" if fetch.target == WEIGHTS else "brings back"
        if not sent:
            _fail(None, "fetch", f"'{fetch.name}' {what} that nothing has sent")
        if fetch.sent < max(sent):
            _fail(None, "fetch", f"'{fetch.name}' {what} before they have left")


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
    _overwrites(schedule)
    _returns(schedule)
