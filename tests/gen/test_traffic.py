"""Beats of a channel, against a simulation of it cycle by cycle."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen.schedule import FetchPlan, SendPlan
from gen.traffic import FIRST_WORD, LATER, MEMORY_LATENCY, WRITE_AHEAD, Channel
from rtl.bursts import Bursts
from rtl.send import Send

BEAT = 16
PAGE_BEATS = 4096 // BEAT


class _Given:
    """Groups are stored at given cycles; one buffer is read by others in given cycles."""

    def __init__(self, stored: Sequence[int], busy: Sequence[int] = ()):
        self.stored, self.busy = stored, set(busy)
        self.spans: dict[tuple[str, int], tuple[int, int]] = {}

    def gathered_at(self, core: int, count: int) -> int:
        return 0

    def passed_at(self, core: int, count: int) -> int:
        return 0

    def stored_at(self, core: int, count: int) -> int:
        if count > len(self.stored):
            return LATER
        return self.stored[count - 1] if count else 0

    def free_at(self, buffer: int, cycle: int) -> int:
        while cycle in self.busy:
            cycle += 1
        return cycle

    def span(self, unit: str, index: int, name: str, first: int, last: int) -> None:
        self.spans[unit, index] = (first, last)


def _fetches(beats: Sequence[int]) -> list[FetchPlan]:
    """Transfers that begin a page each."""
    offsets = [4096 * sum(-(-n // PAGE_BEATS) for n in beats[:i]) for i in range(len(beats))]
    pairs = zip(offsets, beats, strict=True)
    return [FetchPlan("x", 2, offset, n, 1, 0, 0, (0,), (0,), (1,)) for offset, n in pairs]


def _sends(beats: Sequence[int]) -> list[SendPlan]:
    return [SendPlan("y", 1, 0, n, 0, 0, 0, i + 1) for i, n in enumerate(beats)]


def _simulated(
    reads: Sequence[int], writes: Sequence[int], progress: _Given
) -> tuple[list[int], list[int]]:
    """Cycle in which each read is valid, and each transfer of writes is seen to be over."""
    # A transfer, here one burst, is requested so many cycles after the one before it.
    apart = 2 + Bursts.LATENCY
    begins = max(FIRST_WORD, progress.stored[0]) + MEMORY_LATENCY + Bursts.LATENCY
    wanted = [begins + apart * i for i, beats in enumerate(reads) for _ in range(beats)]
    valid: list[int] = []
    ends: list[int] = []
    beat, asked, turn, cycle = 0, FIRST_WORD, True, 0
    while len(valid) < len(wanted) or len(ends) < len(writes):
        reading = len(valid) < len(wanted) and cycle >= wanted[len(valid)]
        writing = False
        if len(ends) < len(writes):
            begun = max(asked, progress.stored[len(ends)])
            ask = progress.free_at(0, begun + (0 if beat else Send.GRANT_LATENCY))
            writing = cycle >= ask + WRITE_AHEAD
            if writing and (not reading or turn):
                beat, asked = beat + 1, ask + 1
                if beat == writes[len(ends)]:
                    ends.append(cycle + 3)
                    beat, asked = 0, cycle + 3
        if reading and (not writing or not turn):
            valid.append(cycle + 1)
        turn ^= reading and writing
        cycle += 1
    return valid, ends


@given(
    st.lists(st.integers(1, PAGE_BEATS), min_size=1, max_size=3),
    st.lists(st.integers(1, 12), max_size=4),
    st.lists(st.integers(0, 200), min_size=4, max_size=4),
    st.lists(st.integers(60, 260), max_size=40),
)
def test_beats_are_those_of_a_simulation(reads, writes, stored, busy):
    progress = _Given(sorted(stored), busy)
    channel = Channel("fetch", _fetches(reads), _sends(writes), progress, BEAT)
    valid, ends = _simulated(reads, writes, progress)
    assert [channel.fetched_at(n + 1) for n in range(len(valid))] == [cycle + 1 for cycle in valid]
    assert [channel.sent_at(n + 1) for n in range(len(ends))] == ends


@pytest.mark.parametrize("count", [1, 17, 256])
def test_asking_late_or_early_changes_nothing(count):
    def channel() -> Channel:
        return Channel("fetch", _fetches([256]), _sends([8, 8]), _Given([50, 90]), BEAT)

    early, late = channel(), channel()
    late.finish()
    assert early.fetched_at(count) == late.fetched_at(count)


def test_a_write_that_becomes_known_takes_slots_of_reads_nobody_asked_for():
    progress = _Given([0])
    channel = Channel(
        "fetch", _fetches([200]), [SendPlan("y", 1, 0, 4, 0, 0, 0, 2)], progress, BEAT
    )
    before = channel.fetched_at(50)
    progress.stored = [0, before]
    assert channel.fetched_at(200) == before + 150 + 4
    assert channel.fetched_at(50) == before


def test_what_waits_for_ever_is_told():
    channel = Channel("fetch", _fetches([4]), [], _Given([]), BEAT)
    with pytest.raises(AssertionError, match="only comes after it"):
        channel.fetched_at(1)
