"""Timing: the cycles of a schedule, from recurrences over tiles and passes.

No circuit is needed and no cycle is stepped: each tile, pass and burst costs a few maxima of the
events it waits for, a max-plus recurrence whose constants are the latencies that the hardware's own
classes state. Cycle 0 is the accepted write to the start register.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rtl.array import Array
from rtl.config import CONSTANTS, CORE_UNITS, TENSORS, Config, fetchers, numbered
from rtl.core import STEP_LATENCY, Core
from rtl.crossbar import Crossbar
from rtl.epilogue import Epilogue
from rtl.gather import Gather
from rtl.packer import Packer
from rtl.unrolled.layer import UnrolledArray

from .operation import Geometry, Operation, Window
from .order import groups_per_pixel
from .schedule import Phase, Schedule
from .series import Series
from .traffic import DONE, FIRST_WORD, LATER, Channel

__all__ = ["Latencies", "Prediction", "Span", "predict", "predict_within"]

_PACKED = Crossbar.READ_LATENCY + 1 + Packer.LATENCY

AHEAD = _PACKED + Core.LATE
"""Cycles from a beat's request to the step that uses a word which it completes."""

SEGMENT_AHEAD = _PACKED + 2
"""Cycles from the request of a segment's last beat to its first step: its tag passes a queue."""


SWITCH = 2
"""Cycles from the last result that an epilogue stores to when it is free for the next operation."""

FREED = STEP_LATENCY + Packer.ROOM_LATENCY + Gather.TOKEN_LATENCY
"""Cycles from the release of a tile's words to the request of a beat that needs their room, beyond
those that the release itself takes."""

REPEATED = 16
"""Tiles that are enough to look whether they repeat what the one before did."""


@dataclass(frozen=True)
class Latencies:
    """The fewest cycles that units take.

    Parameters
    ----------
    ahead
        From the cycle in which an operand is known to be stored to the step that uses it.
    behind
        From a step to the cycle in which the epilogue takes its result.
    through
        From there to where others know that it is stored.
    between
        From the last result that is stored of an operation to the first that is taken of the next.
    """

    ahead: int
    behind: int
    through: int
    between: int

    @staticmethod
    def of(config: Config) -> "Latencies":
        """Of the units of a machine."""
        array = UnrolledArray if config.product_words else Array
        return Latencies(
            Gather.TOKEN_LATENCY + min(AHEAD, SEGMENT_AHEAD),
            STEP_LATENCY + array.latency(config) + Epilogue.QUEUE_LATENCY,
            Epilogue.latency(config),
            SWITCH + Epilogue.OPEN_LATENCY,
        )


@dataclass(frozen=True)
class Span:
    """From the first to the last cycle in which a unit works on something; cycle 0 is the start.

    ``unit`` is one of :attr:`rtl.config.Config.units`, ``index`` the word of its program.
    """

    unit: str
    index: int
    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Prediction:
    """Cycles from start to done, and when each unit works on each word of its program."""

    cycles: int
    spans: tuple[Span, ...]


_Steps = Generator[None, None, None]
_Wait = Generator[None, None, int]
_Spanning = Generator[None, None, tuple[int, int]]
_Tile = tuple[int, int, bool]


@dataclass
class _Results:
    """A phase's results: when the next may be taken, when the first was, and where a row of a
    softmax, or two rows of ``pool_row`` groups of which only the second is stored, stand."""

    per_row: int | None
    pool_row: int
    begins: int = -1
    first: int | None = None
    in_row: int = 0


@dataclass(frozen=True)
class _Mark:
    """A core between two tiles.

    ``ahead`` is all that the next tile's cycles depend on, but for what other units do, in cycles
    after the last step; the rest says how much there has been.
    """

    ahead: tuple[Any, ...]
    last_step: int
    steps: int
    claimed: int
    passes: int
    taken: int
    stored: int
    reads: int


class _Rows:
    """First cycle in which each source row of a phase may be read."""

    def __init__(self, phase: Phase, progress: Callable[[int], int]):
        self.tokens, self.progress = phase.gather, progress
        self.last = max(phase.operation.window.touched_rows(), default=None)
        self.known: dict[int, int] = {}

    def at(self, y: int) -> int:
        """Of row ``y``, or LATER if that is not known yet."""
        count = min(self.tokens.need + self.tokens.step * y, self.tokens.limit)
        cycle = self.known.get(count)
        if cycle is None:
            cycle = self.progress(count)
            if cycle < LATER:
                cycle += Gather.TOKEN_LATENCY
                self.known[count] = cycle
        return cycle

    def latest(self) -> int:
        """Of the row that comes last."""
        return 0 if self.last is None else self.at(self.last)


class _Walk:
    """A phase's way through tiles of patches: what every tile takes, and how far it is."""

    def __init__(self, phase: Phase, rows: _Rows, geometry: Geometry, window: int, last_step: int):
        op = phase.operation
        self.phase, self.rows = phase, rows
        self.tiles, self.passes = op.tiles(geometry), op.passes(geometry)
        self.pixels, self.words = op.window.pixel_count, op.words(geometry)
        self.line_beats = op.window.taps * -(-op.window.run // window)
        self.pixel_beats = op.window.lines * self.line_beats
        self.completes = _completing_beats(op.window, geometry.depth, window)
        self.slack = int((self.completes - np.arange(self.words)).max())
        self.bursts = _bursts(op, geometry)
        self.first_beat: int | None = None
        self.first_step: int | None = None
        # Of the last tile: its state, the cycles after the one before it, and its last step.
        self.mark: _Mark | None = None
        self.pace, self.ended = 0, last_step


class _Core:
    """A core's units, as a coroutine: it yields while something is not known that another core or
    a channel must work out first."""

    def __init__(self, model: "_Model", index: int, config: Config):
        self.model, self.index, self.config = model, index, config
        self.schedule = model.schedule
        self.geometry = self.schedule.cores[index].geometry
        # Cycle in which each group is taken, and, where it passes the softmax unit, stored.
        self.taken, self.stored, self.pass_ends = Series(), Series(), Series()
        self.gather_ends: list[int] = []
        self.next_beat = FIRST_WORD
        # The gather unit's loops: the next word's first step, steps of this word, latest requests.
        self.next_step = FIRST_WORD + 1
        self.steps = 0
        self.requests: deque[tuple[int, int]] = deque()
        self.core_free = FIRST_WORD + 1 - Core.WORD_LATENCY
        self.last_burst = 0
        self.last_step = -1
        self.epilogue_free = FIRST_WORD
        self.claimed = 0
        self.released: deque[tuple[int, int]] = deque()
        self.latency = Epilogue.latency(config)
        self.second_latency = Epilogue.second_latency(config) if config.residual else 0
        # Groups that were taken before each phase, and the buffer of its second operand.
        self.before: list[int] = []
        self.seconds: list[int | None] = []
        # Groups that may be on their way when a pass begins.
        self.credit = config.results - config.rows * config.groups
        array = UnrolledArray if config.product_words else Array
        self.drain = STEP_LATENCY + array.latency(config)
        self.window = config.window // config.element_bytes

    def _rows(self, phase: Phase) -> _Rows:
        producer = phase.gather.producer
        if producer is None:
            return _Rows(phase, self.model.channels[TENSORS].known_fetched_at)
        return _Rows(phase, partial(self.model.stored_at, producer))

    def _weights(self, phase: Phase, n: int) -> int:
        """When the weights of pass ``n`` are there, or LATER."""
        count = phase.need + n * phase.pass_need
        return self.model.channels[CONSTANTS].known_fetched_at(count)

    def _opens(self, phase: Phase) -> int:
        """When the epilogue may take its first result."""
        model, tokens = self.model, phase.epilogue
        counters = (
            (model.stored_at, tokens.stored),
            (model.gathered_at, tokens.gathered),
        )
        return Epilogue.OPEN_LATENCY + max(
            self.epilogue_free,
            model.channels[TENSORS].known_sent_at(tokens.sent),
            *(at(core, n) for at, counts in counters for core, n in enumerate(counts)),
            *(
                channel.known_fetched_at(n)
                for channel, n in zip(model.channels, tokens.fetched, strict=True)
            ),
        )

    def _begins(self) -> int:
        """When the first beat of the gather unit's next word may be requested."""
        self.next_step = max(self.next_step, self._place_freed(0))
        self.steps = 0
        return max(self.next_beat + 1, self.next_step + Gather.STEP_LATENCY)

    def _walked(self) -> None:
        """The gather unit's loops go on to the next word: none of a word's steps but the first
        delays a beat, for the loops are as fast and the queue is longer than they take."""
        last = max(self.next_step + self.steps - 1, self._place_freed(1))
        self.next_step = last + Gather.WORD_STEPS

    def _place_freed(self, behind: int) -> int:
        """When there was a place in the queue for the beat that follows all but the ``behind``
        latest ones."""
        left = Gather.QUEUE + behind
        for end, count in reversed(self.requests):
            if count >= left:
                return end - left
            left -= count
        return 0

    def _requested(self, first: int, end: int) -> None:
        """The gather unit's beats pass from ``first`` to before ``end``."""
        self.steps += end - first
        if self.requests and self.requests[-1][0] == first:
            self.requests[-1] = (end, self.requests[-1][1] + end - first)
        else:
            self.requests.append((end, end - first))
        if len(self.requests) > Gather.QUEUE + 1:
            self.requests.popleft()

    def _gathers(self, phase: Phase, first: int, end: int) -> None:
        """The gather unit reads its buffer from ``first`` to before ``end``."""
        self._requested(first, end)
        if len(self.schedule.cores) > 1:
            return
        firsts, ends = self.model.busy[self.schedule.lifetimes[phase.source].buffer]
        if ends and ends[-1] == first:
            ends[-1] = end
        else:
            firsts.append(first)
            ends.append(end)

    def _mark(self, phase: Phase, beat: int, results: _Results) -> _Mark:
        """Before a tile of ``phase`` whose first beat is not before ``beat``.

        What is over before the next tile can ask for it is left out.
        """
        now, words = self.last_step, phase.operation.words(self.geometry)
        held = len(self.taken) - self.credit
        taken = self.taken.last + 1 + Core.CREDIT_LATE > now + words
        left, requests = Gather.QUEUE + 1, []
        for end, count in reversed(self.requests):
            requests.append((end - now, min(left, count)))
            left -= min(left, count)
            if not left:
                break
        return _Mark(
            ahead=(
                (beat - now, self.last_burst, results.begins - now, results.in_row),
                tuple((n - self.claimed, at - now) for n, at in self.released if at > beat),
                [(first - now, *run) for first, *run in self.taken.since(max(0, held - 1))]
                if taken
                else [],
                requests,
            ),
            last_step=now,
            steps=self.steps,
            claimed=self.claimed,
            passes=len(self.pass_ends),
            taken=len(self.taken),
            stored=len(self.stored),
            reads=len(self.model.busy[self.schedule.lifetimes[phase.source].buffer][0]),
        )

    def _repeat(self, phase: Phase, since: _Mark, times: int, results: _Results) -> int:
        """What happened after ``since`` happens so many times again, as a core does that stands as
        it stood then; returns how many cycles later it then stands so."""
        period = self.last_step - since.last_step
        later = times * period
        self.pass_ends.repeat(since.passes, times, period)
        self.taken.repeat(since.taken, times, period)
        self.stored.repeat(since.stored, times, period)
        firsts, ends = self.model.busy[self.schedule.lifetimes[phase.source].buffer]
        if len(firsts) > since.reads:
            for cycles in (firsts, ends):
                own = cycles[since.reads :]
                cycles += [at + n * period for n in range(1, times + 1) for at in own]
        elif ends:
            ends[-1] += later
        words = times * (self.claimed - since.claimed)
        self.claimed += words
        self.released = deque((n + words, at + later) for n, at in self.released)
        self.requests = deque((end + later, count) for end, count in self.requests)
        self.steps += times * (self.steps - since.steps)
        self.last_step += later
        self.core_free += later
        results.begins += later
        return later

    def _room(self, words: int) -> int:
        """First cycle in which the patch ring has room for a tile of ``words``."""
        needed = self.claimed + words - self.config.patch_words
        at = 0
        while self.released and self.released[0][0] < needed:
            self.released.popleft()
        if needed > 0:
            at = self.released[0][1]
        self.claimed += words
        return at

    def run(self) -> _Steps:
        """Everything that the core does."""
        for index, phase in enumerate(self.schedule.phases_of(self.index)):
            yield from self._phase(index, phase)

    def adds(self, buffer: int, cycle: int) -> bool:
        """Whether the epilogue reads a second operand from a buffer in a cycle."""
        at = bisect_left(self.taken, cycle - self.second_latency)
        if at == len(self.taken) or self.taken[at] != cycle - self.second_latency:
            return False
        return self.seconds[bisect_right(self.before, at) - 1] == buffer

    def _phase(self, index: int, phase: Phase) -> _Steps:
        op = phase.operation
        second = phase.residual
        self.before.append(len(self.taken))
        self.seconds.append(None if second is None else self.schedule.lifetimes[second].buffer)
        self.core_free += Core.WORD_LATENCY
        per_row = None
        if op.softmax is not None:
            per_row = op.softmax[0] * groups_per_pixel(op, self.geometry)
        results = _Results(per_row, op.pool_row if op.pool else 0)
        steps = self._segments if op.window.segments else self._patches
        first_beat, first_step = yield from steps(phase, results)
        self._walked()
        self.gather_ends.append(self.next_beat - 1)
        self.model.moved = True
        ends = self.stored.last
        softmax_free = ends + SWITCH - Epilogue.STORE_LATENCY if per_row is not None else 0
        self.epilogue_free = max(self.taken.last + self.latency + SWITCH, softmax_free)
        spans = ((first_beat, self.next_beat - 1), (first_step, self.last_step))
        for unit, span in zip(CORE_UNITS, (*spans, (results.first or 0, ends)), strict=True):
            self.model.span(numbered(unit, self.index), index, op.name, *span)

    def _patches(self, phase: Phase, results: _Results) -> _Spanning:
        """Every beat and step of a phase; returns the first of each."""
        op = phase.operation
        walk = _Walk(phase, self._rows(phase), self.geometry, self.window, self.last_step)
        started = yield from _known(partial(self.model.stored_at, self.index, phase.gather.start))
        beat = max(self._begins(), started + Gather.TOKEN_LATENCY)
        # All passes of each tile; or every tile, read again, in each pass.
        passes = range(walk.passes)
        for in_tile in [range(n, n + 1) for n in passes] if op.stationary else [passes]:
            tile = 0
            while tile < walk.tiles:
                beat, data, steady = yield from self._read(walk, tile, beat)
                steady = yield from self._stepped(walk, tile, in_tile, data, steady, results)
                beat, skipped = self._skipped(walk, tile, beat, steady, results)
                tile += 1 + skipped
        self.next_beat = beat
        return walk.first_beat or 0, walk.first_step or 0

    def _read(self, walk: _Walk, tile: int, beat: int) -> Generator[None, None, _Tile]:
        """The beats of a tile from cycle ``beat`` on: when the next tile's may be, when the last
        operand is there, and whether nothing was waited for."""
        count = min(self.geometry.rows, walk.pixels - tile * self.geometry.rows)
        beat = max(beat, self._room(walk.words))
        if beat >= walk.rows.latest():
            if walk.first_beat is None:
                walk.first_beat = beat
            last_pixel = beat + (count - 1) * walk.pixel_beats
            data = last_pixel + AHEAD + walk.slack + walk.words - 1
            self._gathers(walk.phase, beat, last_pixel + walk.pixel_beats)
            return last_pixel + walk.pixel_beats, data, True
        beat, opened, times = yield from self._waiting(
            walk.phase, tile * self.geometry.rows, count, beat, walk.rows, walk.line_beats
        )
        if walk.first_beat is None:
            walk.first_beat = opened
        due = times[walk.completes] + AHEAD + walk.words - 1 - np.arange(walk.words)
        return beat, int(due.max()), False

    def _stepped(
        self,
        walk: _Walk,
        tile: int,
        in_tile: range,
        data: int,
        steady: bool,
        results: _Results,
    ) -> Generator[None, None, bool]:
        """The steps of a tile in so many passes, whose last operand is there at ``data``; returns
        whether it is still so that nothing was waited for."""
        words = walk.words
        for n in in_tile:
            burst = walk.bursts[(tile == walk.tiles - 1) * 2 + (n == walk.passes - 1)]
            while (weights := self._weights(walk.phase, n)) >= LATER:
                yield
            steady &= weights <= self.core_free
            opens = max(self.core_free, weights)
            last = opens + words - 1
            if n == in_tile[0]:
                last = max(last, data)
            if walk.first_step is None:
                walk.first_step = max(opens, (walk.first_beat or 0) + AHEAD)
                results.begins = yield from _known(partial(self._opens, walk.phase))
            self._ends(last, burst, results)
        total = (self.released[-1][0] if self.released else self.claimed - words) + words
        self.released.append((total, self.last_step + 1 + self.geometry.rows + FREED))
        return steady

    def _skipped(
        self, walk: _Walk, tile: int, beat: int, steady: bool, results: _Results
    ) -> tuple[int, int]:
        """Where a tile and all that matters after it is as it was with the one before, those that
        follow are alike: when the next one's beats may be after these, and how many there were."""
        alike = walk.tiles - tile - 2
        pace, walk.ended = self.last_step - walk.ended, self.last_step
        likely = steady and pace == walk.pace and alike >= REPEATED
        before, walk.pace = walk.mark, pace
        walk.mark = self._mark(walk.phase, beat, results) if likely else None
        if before is None or walk.mark is None or before.ahead != walk.mark.ahead:
            return beat, 0
        beat += self._repeat(walk.phase, before, alike, results)
        walk.mark, walk.ended = self._mark(walk.phase, beat, results), self.last_step
        return beat, alike

    def _segments(self, phase: Phase, results: _Results) -> _Spanning:
        """Every beat of a phase on segments, and the steps that follow from each."""
        op, config = phase.operation, self.config
        window, segments = op.window, op.window.segments
        assert segments is not None
        rows = self._rows(phase)
        reach = config.reach // config.element_bytes
        beats = window.taps * -(-window.run // reach)
        started = yield from _known(partial(self.model.stored_at, self.index, phase.gather.start))
        beat = max(self._begins(), started + Gather.TOKEN_LATENCY)
        first_beat = first_step = None
        step = self.core_free
        steps = len(segments.patterns)
        places = window.repeats * window.pixel_count
        per_pass = places // op.passes(self.geometry)
        for place in range(places):
            while (weights := self._weights(phase, place // per_pass)) >= LATER:
                yield
            step = max(step, weights)
            row = place // window.pixels % window.rows
            phases = 0
            lines = [
                window.line + row * window.row_stride + line * window.line_stride
                for line in range(window.lines)
            ]
            for number, line in enumerate(lines):
                y = line >> 1 if segments.doubled else line
                inside = 0 <= y < window.height
                if segments.skip and not inside:
                    self._requested(beat, beat + 1)
                    beat += 1
                    continue
                beat = max(beat, self._room(1))
                if inside:
                    arrived = yield from _known(partial(rows.at, y))
                    beat = max(beat, arrived)
                first_beat = beat if first_beat is None else first_beat
                self._gathers(phase, beat, beat + beats)
                beat += beats
                step = max(step, beat - 1 + SEGMENT_AHEAD)
                if first_step is None:
                    first_step = step
                    results.begins = yield from _known(partial(self._opens, phase))
                if segments.sums:
                    following = line + window.line_stride >> window.doubled
                    ends = number == window.lines - 1 or (
                        segments.skip and following >= window.height
                    )
                    step += steps
                else:
                    ends = number >= segments.warm and phases == 0
                    if number >= segments.warm:
                        phases = (phases + 1) % segments.every
                    step += steps if ends else 1
                if ends:
                    self._ends(step - 1, 1, results)
                    step = self.core_free
                freed = (self.released[-1][0] if self.released else self.claimed - 1) + 1
                self.released.append((freed, step + 1 + FREED))
        self.next_beat, self.core_free = beat, step
        return first_beat or 0, first_step or 0

    def _ends(self, last: int, burst: int, results: _Results) -> None:
        """A pass's last step, not before ``last``, and what becomes of its results."""
        last = max(last, self.last_step + self.last_burst)
        held = len(self.taken) - self.credit
        if held > 0:
            last = max(last, self.taken[held - 1] + 1 + Core.CREDIT_LATE)
        self.core_free, self.last_step, self.last_burst = last + 1, last, burst
        self.pass_ends.extend(last)
        self.model.moved = True
        push = last + self.drain + Epilogue.QUEUE_LATENCY
        while burst > 0:
            burst -= self._takes(max(push, results.begins), burst, results)

    def _takes(self, first: int, most: int, results: _Results) -> int:
        """The epilogue takes up to ``most`` results from cycle ``first`` on, until a row ends that
        is stored as a whole, or another begins; returns how many."""
        row = results.per_row or results.pool_row
        count = min(most, row - results.in_row % row) if row else most
        if results.first is None:
            results.first = first
        self.taken.extend(first, count)
        results.begins = first + count
        results.in_row += count
        if results.per_row is None:
            if results.in_row > results.pool_row or not row:
                self.stored.extend(first + self.latency, count)
            results.in_row %= max(1, 2 * row)
        elif results.in_row == row:
            results.in_row = 0
            softmax = Epilogue.softmax_latency(self.config, row)
            ends = first + count - 1 + self.latency + softmax
            step = self.config.lanes
            self.stored.extend(ends - (row - 1) * step, row, step)
            results.begins = ends - Epilogue.STORE_LATENCY + 1
        return count

    def _waiting(
        self, phase: Phase, first: int, count: int, beat: int, rows: _Rows, line_beats: int
    ) -> Generator[None, None, tuple[int, int, np.ndarray]]:
        """The beats of a tile of which some must wait for rows: the next free cycle, the first
        beat's, and those of the tile's last pixel."""
        window = phase.operation.window
        opened = None
        times: list[int] = []
        for pixel in range(first, first + count):
            row = pixel // window.pixels
            times = []
            for line in range(window.lines):
                y = window.line + row * window.row_stride + line * window.line_stride
                if 0 <= y < window.height:
                    arrived = yield from _known(partial(rows.at, y))
                    beat = max(beat, arrived)
                if opened is None:
                    opened = beat
                times += range(beat, beat + line_beats)
                self._gathers(phase, beat, beat + line_beats)
                beat += line_beats
        return beat, opened or beat, np.array(times)


class _Model:
    """The cores and the channels, and what they know of each other."""

    def __init__(self, schedule: Schedule, config: Config):
        self.schedule, self.config = schedule, config
        self.channels = [
            Channel(unit, fetches, () if channel else schedule.sends, self, schedule.axi_bytes)
            for channel, (unit, fetches) in enumerate(
                zip(fetchers(schedule.channels), schedule.fetches, strict=True)
            )
        ]
        self.spans: list[Span] = []
        # Whether anything has happened lately that cores wait for of each other.
        self.moved = False
        # Per buffer the runs of cycles in which a gather unit reads it: their firsts and ends.
        self.busy = [([], []) for _ in schedule.buffer_bytes]
        self.cores = [_Core(self, index, core) for index, core in enumerate(config.cores)]

    def span(self, unit: str, index: int, name: str, first: int, last: int) -> None:
        self.spans.append(Span(unit, index, name, first, last))

    def stored_at(self, core: int, count: int) -> int:
        return _reached(self.cores[core].stored, count, 1)

    def gathered_at(self, core: int, count: int) -> int:
        return _reached(self.cores[core].gather_ends, count, 1)

    def passed_at(self, core: int, count: int) -> int:
        of = self.cores[core]
        return _reached(of.pass_ends, count, of.config.groups + 1 + STEP_LATENCY)

    def free_at(self, buffer: int, cycle: int) -> int:
        """First cycle from ``cycle`` on in which neither the gather unit nor the epilogue reads the
        copy of the buffer that the send unit reads."""
        if len(self.cores) > 1:
            return cycle
        firsts, ends = self.busy[buffer]
        while True:
            run = bisect_right(firsts, cycle) - 1
            if run >= 0 and cycle < ends[run]:
                cycle = ends[run]
            elif self.cores[0].adds(buffer, cycle):
                cycle += 1
            else:
                return cycle

    def run(self, limit: int) -> Prediction | None:
        """What happens, or None once something happens after ``limit``."""
        waiting = [core.run() for core in self.cores]
        while waiting:
            self.moved = False
            waiting = [steps for steps in waiting if next(steps, self) is not self]
            if waiting and not self.moved and self._advance(limit) > limit:
                return None
        for channel in self.channels:
            channel.finish()
        cycles = self.channels[TENSORS].sent_at(len(self.schedule.sends)) + DONE
        if cycles > limit:
            return None
        spans = sorted(self.spans, key=lambda s: (self.config.units.index(s.unit), s.index))
        return Prediction(cycles, tuple(spans))

    def _advance(self, limit: int) -> int:
        """All cores wait for a channel: the earliest beat of any is the next thing to happen, until
        something comes that is waited for, or ``limit`` is over. Returns its cycle."""
        while True:
            first, *others = sorted(self.channels, key=Channel.opens)
            came = first.advance(others[0].opens() if others else LATER)
            if came or first.slot > limit:
                return first.slot


def _known(ask: Callable[[], int]) -> _Wait:
    """What ``ask`` answers as soon as it does not say LATER."""
    while (cycle := ask()) >= LATER:
        yield
    return cycle


def _reached(cycles: Sequence[int] | Series, count: int, delay: int) -> int:
    """When ``count`` things are seen to have happened, ``delay`` cycles after the last of them."""
    if count > len(cycles):
        return LATER
    return cycles[count - 1] + delay if count > 0 else 0


def _completing_beats(window: Window, depth: int, most: int) -> np.ndarray:
    """For each patch word of a pixel, the beat that completes it."""
    sizes = []
    left = window.run
    while left > 0:
        sizes.append(min(most, left))
        left -= most
    runs = window.lines * window.taps
    if window.align:
        bytes_after = np.cumsum(sizes)
        per_run = -(-window.run // depth)
        ends = np.minimum(depth * (1 + np.arange(per_run)), window.run)
        beats = np.searchsorted(bytes_after, ends)
        return (np.arange(runs)[:, None] * len(sizes) + beats[None, :]).reshape(-1)
    bytes_after = np.cumsum(np.tile(sizes, runs))
    words = -(-int(bytes_after[-1]) // depth)
    ends = np.minimum(depth * (1 + np.arange(words)), bytes_after[-1])
    return np.searchsorted(bytes_after, ends)


def _bursts(op: Operation, geometry) -> tuple[int, int, int, int]:
    """Result groups of a pass: plain, last pass, last tile, both."""
    rows_last = (op.window.pixel_count - 1) % geometry.rows + 1
    last = groups_per_pixel(op, geometry) - (op.passes(geometry) - 1) * geometry.groups
    full = geometry.groups
    return (
        geometry.rows * full,
        geometry.rows * last,
        rows_last * full,
        rows_last * last,
    )


def predict_within(schedule: Schedule, config: Config, limit: int) -> Prediction | None:
    """The same as :func:`predict`, or None as soon as it is known to take more than ``limit``
    cycles."""
    made = [sum(fetch.beats for fetch in fetches) for fetches in schedule.fetches]
    made[TENSORS] += sum(send.beats for send in schedule.sends)
    return _Model(schedule, config).run(limit) if max(made) <= limit else None


def predict(schedule: Schedule, config: Config) -> Prediction:
    """Cycles of ``schedule`` on a machine of ``config``, beside the benches' memory model."""
    prediction = predict_within(schedule, config, LATER)
    assert prediction is not None
    return prediction
