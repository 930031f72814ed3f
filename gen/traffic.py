"""Traffic: the cycle of every beat on an AXI channel, beside the memory model of the benches."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from rtl.axi import PAGE
from rtl.bursts import Bursts
from rtl.crossbar import Crossbar
from rtl.epilogue import Epilogue
from rtl.send import Send
from rtl.sequencer import Sequencer

from .schedule import FetchPlan, SendPlan

__all__ = [
    "ACKNOWLEDGED",
    "DONE",
    "FIRST_WORD",
    "LATER",
    "MEMORY_LATENCY",
    "WRITE_AHEAD",
    "Channel",
    "Progress",
]

MEMORY_LATENCY = 64
"""Cycles from a read request to its first beat, in the memory model of the benches."""

MEMORY_OUTSTANDING = 16
"""Read bursts that the memory model keeps open."""

FIRST_WORD = 1 + Sequencer.LATENCY
"""Cycle in which every unit is offered its first word."""

MOST_BEATS = 256
"""Of a burst."""

WRITE_AHEAD = Crossbar.READ_LATENCY + Epilogue.QUEUE_LATENCY
"""Cycles from the read of a beat in its buffer to its write."""

LATER = 1 << 62
"""The cycle of what is not known yet, and hence later than all that is."""

ACKNOWLEDGED = 3
"""Cycles from a transfer's last beat to when it is counted: its acknowledgement comes a cycle
later, and is counted and noticed in the next two."""

DONE = 1
"""Cycles from the last acknowledged transfer to done: the cycle after all units are seen idle."""


class Progress(Protocol):
    """What transfers wait for: the first cycle in which a count is reached, or :data:`LATER`."""

    def gathered_at(self, core: int, count: int) -> int: ...

    def passed_at(self, core: int, count: int) -> int: ...

    def stored_at(self, core: int, count: int) -> int: ...

    def free_at(self, buffer: int, cycle: int) -> int:
        """First cycle from ``cycle`` on in which nobody else reads the buffer."""
        ...

    def span(self, unit: str, index: int, name: str, first: int, last: int) -> None: ...


class _Writes:
    """Transfers to memory; one begins when the one before it is acknowledged."""

    def __init__(self, plans: Sequence[SendPlan], progress: Progress):
        self.plans, self.progress = plans, progress
        self.beat = self.first = 0
        # Cycle of the next beat's buffer read, and of the last beats' handshakes.
        self.asked = FIRST_WORD
        self.taken: deque[int] = deque(maxlen=Send.QUEUE)
        self.ends: list[int] = []

    def ready(self) -> int:
        """First slot in which the next beat could be written."""
        if len(self.ends) == len(self.plans):
            return LATER
        plan = self.plans[len(self.ends)]
        asked = max(self.asked, self.progress.stored_at(plan.producer, plan.stored))
        if asked == LATER:
            return LATER
        if not self.beat:
            asked += Send.GRANT_LATENCY
        if len(self.taken) == Send.QUEUE:
            asked = max(asked, self.taken[0] + 1)
        return self.progress.free_at(plan.buffer, asked) + WRITE_AHEAD

    def take(self, slot: int) -> None:
        """Write the next beat."""
        self.asked = self.ready() - WRITE_AHEAD + 1
        self.taken.append(slot)
        plan, index = self.plans[len(self.ends)], len(self.ends)
        if not self.beat:
            self.first = slot
        self.beat += 1
        if self.beat == plan.beats:
            self.progress.span("send", index, plan.name, self.first, slot)
            self.ends.append(slot + ACKNOWLEDGED)
            self.beat, self.asked = 0, slot + ACKNOWLEDGED


class _Reads:
    """Bursts from memory, in the order of their requests, each once its transfer's tokens are there
    and the memory has room for another."""

    def __init__(self, unit: str, plans: Sequence[FetchPlan], channel: "Channel", beat_bytes: int):
        self.unit, self.plans, self.channel, self.beat_bytes = unit, plans, channel, beat_bytes
        self.next = 0
        self.request = FIRST_WORD
        # Beats left of the transfer on hand and of its burst; the transfer's place and first beat.
        self.transfer = self.burst = 0
        self.place = self.first = self.began = 0
        self.open: deque[int] = deque()
        # Beats before each unbroken run of beats, and the cycle in which its first is valid.
        self.counts: list[int] = []
        self.firsts: list[int] = []
        self.total = self.last = 0

    def ready(self) -> int:
        """First slot in which the next beat could be read."""
        if not self.transfer and self.next < len(self.plans):
            granted = self._granted(self.plans[self.next])
            if granted < LATER:
                plan = self.plans[self.next]
                self.request, self.began = granted + 1, 0
                self.transfer, self.place = plan.beats, plan.offset // self.beat_bytes
        if self.transfer and not self.burst:
            page = PAGE // self.beat_bytes
            self.burst = min(self.transfer, MOST_BEATS, page - self.place % page)
            self.request += Bursts.LATENCY
            if len(self.open) == MEMORY_OUTSTANDING:
                self.request = max(self.request, self.open.popleft() + 1)
            self.first = self.request + MEMORY_LATENCY - 1
            self.request += 1
        return self.first if self.burst else LATER

    def _granted(self, plan: FetchPlan) -> int:
        progress = self.channel.progress
        counters = (
            (progress.gathered_at, plan.gathered),
            (progress.passed_at, plan.passed),
            (progress.stored_at, plan.stored),
        )
        return max(
            self.request,
            self.channel.known_sent_at(plan.sent),
            *(at(core, n) for at, counts in counters for core, n in enumerate(counts)),
        )

    def take(self, slot: int, count: int) -> None:
        """Read ``count`` beats from ``slot`` on, each of them valid in the cycle after its slot."""
        if slot > self.last or not self.counts:
            self.counts.append(self.total)
            self.firsts.append(slot + 1)
        self.began = self.began or slot + 1
        self.last = slot + count
        self.total += count
        self.burst -= count
        self.transfer -= count
        self.place += count
        if not self.burst:
            self.open.append(self.last)
        if not self.transfer:
            name = self.plans[self.next].name
            self.channel.progress.span(self.unit, self.next, name, self.began, self.last)
            self.next += 1

    def arrived_at(self, count: int) -> int:
        """First cycle in which ``count`` beats, all worked out, are seen to have arrived."""
        run = bisect_left(self.counts, count) - 1
        return self.firsts[run] + count - self.counts[run]


class Channel:
    """Beats in slots of one cycle, each in the first that it can have.

    A write takes the slot of its handshake, a read the slot before it is valid. Where both want
    one, they take turns. Slots are given away in the order of time, only as far as somebody asks,
    since what is not known yet may claim a part of those that follow.
    """

    def __init__(
        self,
        unit: str,
        fetches: Sequence[FetchPlan],
        sends: Sequence[SendPlan],
        progress: Progress,
        beat_bytes: int,
    ):
        self.progress = progress
        self.reads = _Reads(unit, fetches, self, beat_bytes)
        self.writes = _Writes(sends, progress)
        self.slot = 0
        self.write_turn = True
        self.asked = LATER

    def fetched_at(self, count: int) -> int:
        """First cycle in which ``count`` beats are seen to have arrived."""
        while (cycle := self.known_fetched_at(count)) == LATER:
            self.advance()
        return cycle

    def known_fetched_at(self, count: int) -> int:
        """The same, or LATER if they are not known to have arrived, which :meth:`advance` will
        work towards."""
        if count <= 0:
            return 0
        if count > self.reads.total:
            self.asked = min(self.asked, count)
            return LATER
        return self.reads.arrived_at(count)

    def sent_at(self, count: int) -> int:
        """First cycle in which ``count`` transfers are seen to be over."""
        while len(self.writes.ends) < count:
            self.advance()
        return self.known_sent_at(count)

    def known_sent_at(self, count: int) -> int:
        """The same, or LATER if they are not known to be over."""
        ends = self.writes.ends
        if count > len(ends):
            return LATER
        return ends[count - 1] if count else 0

    def finish(self) -> None:
        """Work out every beat, when everything that transfers wait for is known."""
        while self.reads.next < len(self.reads.plans):
            self.advance()
        self.sent_at(len(self.writes.plans))

    def opens(self) -> int:
        """The next slot that will be given away, as far as is known."""
        return max(self.slot, min(self.reads.ready(), self.writes.ready()))

    def advance(self, until: int = LATER) -> bool:
        """Give slots away, at least one and then those before ``until``, up to what is asked for or
        the end of a transfer to memory; returns whether it came to that."""
        ends, writes, given = len(self.writes.ends), self.writes.ready(), False
        while True:
            reads = self.reads.ready()
            slot = max(self.slot, min(reads, writes))
            if given and slot >= until:
                return False
            assert slot < LATER, "a transfer waits for what only comes after it"
            given, contested = True, reads <= slot and writes <= slot
            count = 1
            if reads > slot or (contested and self.write_turn):
                self.writes.take(slot)
                writes = self.writes.ready()
            else:
                most = max(1, min(self.asked - self.reads.total, until - slot))
                count = 1 if contested else min(self.reads.burst, writes - slot, most)
                self.reads.take(slot, count)
            if contested:
                self.write_turn = not self.write_turn
            self.slot = slot + count
            if self.reads.total >= self.asked or len(self.writes.ends) > ends:
                self.asked = LATER
                return True
