"""Turns: which tasks could take turns, and which tensors stream from off chip, in little memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rtl.config import CONSTANTS
from rtl.fetch import WEIGHTS

from .bands import Section, Turns, bandable, own_cores
from .rows import output_rows
from .schedule import Schedule
from .work import Work

__all__ = ["Way", "turns", "ways"]

MOST_BANDS = 64
"""On one core more of them cost more at their edges than they save; several cores may have twice as
many."""

FAR = 4
"""Rows that rings of single rows hold ahead where memory allows: then what comes over the channel
for one core rarely waits for what another core still has to read, which comes before it."""

MOST_SPLITS = 10
"""Places, of a run of tasks that can take turns, at which it is tried to end their turns."""


@dataclass(frozen=True)
class _Split:
    """Runs of operations: those of each take turns."""

    runs: tuple[tuple[int, int], ...]

    def of(self, index: int) -> tuple[int, int] | None:
        """The run of an operation, if it is in one."""
        return next((run for run in self.runs if run[0] <= index < run[1]), None)


def _singles(work: Work, able: Sequence[bool]) -> list[tuple[int, int]]:
    """Every operation that can make its rows in bands, with those beside it that write the same
    storage."""
    runs: list[tuple[int, int]] = []
    for i, one in enumerate(able):
        sink = work.operations[i][0].sink.storage
        last = runs[-1][1] - 1 if runs else -1
        if one and last == i - 1 and last >= 0 and work.operations[last][0].sink.storage == sink:
            runs[-1] = (runs[-1][0], i + 1)
        elif one:
            runs.append((i, i + 1))
    return runs


def _splits(work: Work, able: Sequence[bool], *, together: bool) -> Iterator[_Split]:
    """Every operation for itself; or, if they may take turns ``together``, the first few of each
    stretch of operations that can, or all of them. On several cores, all of each stretch."""
    singles = _singles(work, able)
    several = len(work.sites) > 1
    if not several:
        yield _Split(tuple(singles))
    stretches: list[list[tuple[int, int]]] = []
    for run in singles:
        if stretches and stretches[-1][-1][1] == run[0]:
            stretches[-1].append(run)
        else:
            stretches.append([run])
    if several:
        yield _Split(tuple((stretch[0][0], stretch[-1][1]) for stretch in stretches))
        return
    for stretch in stretches if together else ():
        ends = range(2, len(stretch) + 1)
        for count in ends[:: -max(1, -(-len(ends) // MOST_SPLITS))]:
            joined = (stretch[0][0], stretch[count - 1][1])
            others = [run for run in singles if run not in stretch[:count]]
            yield _Split(tuple(sorted((joined, *others))))


def _crossing(work: Work, split: _Split, able: Sequence[bool], inputs: Sequence[str]) -> list[str]:
    """Storages that lie between runs, and only between those, the largest first; then ``inputs``
    that several runs read, likewise."""
    readers: dict[str, list[int]] = {}
    makers: dict[str, set[tuple[int, int] | None]] = {}
    for i, (op, _) in enumerate(work.operations):
        makers.setdefault(op.sink.storage, set()).add(split.of(i))
        for name in op.reads:
            readers.setdefault(name, []).append(i)
    found = []
    for i, (op, _) in enumerate(work.operations):
        name = op.sink.storage
        after = readers.get(name, [])
        apart = {split.of(n) for n in after} - {split.of(i)}
        if (
            apart
            and len(makers[name]) == 1
            and name not in found
            and able[i]
            and all(able[n] for n in after)
        ):
            found.append(name)
    again = []
    for name in inputs:
        after = readers.get(name, [])
        if len({split.of(n) for n in after}) > 1 and all(able[n] for n in after):
            again.append(name)
    return [
        name
        for names in (found, again)
        for name in sorted(names, key=lambda name: -work.storages[name])
    ]


@dataclass(frozen=True)
class Way:
    """Who takes turns with whom, and what is off chip between them; not yet how often."""

    work: Work
    runs: tuple[tuple[int, int], ...]
    away: frozenset[str]

    def turns(self, bands: Sequence[int], ahead: int, *, even: bool) -> Turns:
        """Each run in as many bands as its entry of ``bands`` says, of which rings hold some
        ``ahead``."""
        sections = []
        for (first, last), count in zip(self.runs, bands, strict=True):
            ops = self.work.operations[first:last]
            rows = max(output_rows(op) for op, _ in (ops if own_cores(ops) else ops[-1:]))
            sections.append(Section(first, last, -(-rows // min(count, rows)), even))
        return Turns(tuple(sections), self.away, ahead)


def ways(
    work: Work, inputs: Sequence[str], outputs: Sequence[str], *, together: bool
) -> Iterator[list[Way]]:
    """Ways of ``work`` that differ in who takes turns, and of each those that differ in what is
    off chip: nothing, then more and more, the largest first. See :func:`turns`."""
    able = bandable(work)
    ends = frozenset((*inputs, *outputs))
    for split in _splits(work, able, together=together):
        crossing = _crossing(work, split, able, inputs)
        found = []
        for largest in range(len(crossing) + 1):
            away = frozenset(crossing[:largest])
            runs = (run for run in split.runs if _gains(work, run, away | ends))
            found.append(Way(work, tuple(runs), away))
        yield found


def _gains(work: Work, run: tuple[int, int], outside: frozenset[str]) -> bool:
    """Whether a run is of several operations, or of one that reads or writes what is off chip."""
    first, last = run
    ops = [op for op, _ in work.operations[first:last]]
    names = {name for op in ops for name in (op.sink.storage, *op.reads)}
    return len(ops) > 1 or bool(names & outside)


def turns(
    work: Work,
    inputs: Sequence[str],
    outputs: Sequence[str],
    attempt: Callable[[Turns], Schedule | None],
    *,
    together: bool,
    again: bool = False,
) -> Iterator[tuple[Turns, Schedule]]:
    """Turns with the schedules that ``attempt`` makes of them: each with as few bands as fit; on
    several cores, or more; and in single rows where each task has its own.

    Tensors between those that take turns are off chip if they do not fit otherwise, the largest
    first, and in the end inputs that several tasks read, for each of which they come again.

    Parameters
    ----------
    attempt
        The schedule of some turns, or None if they do not fit.
    together
        Whether different tasks may take turns; otherwise each comes after the one before, and only
        what it reads and writes may stream.
    again
        Whether weights come again for each band. On one core, bands are even then, each section has
        as few as fit, and it is tried what is gained if more is off chip.
    """
    several = len(work.sites) > 1
    again = again and not several
    most = MOST_BANDS * (1 + several)
    for choices in ways(work, inputs, outputs, together=together):
        # Weights that come again weigh most, so what needs the fewest bands is made first.
        for way in reversed(choices) if again else choices:
            found: dict[Turns, Schedule] = dict(_by_rows(way, most, attempt))
            if found:
                yield from found.items()
                break
            for ahead in (1,) if several else (0, 1) if again else (1, 0):

                def chosen(bands: int, way: Way = way, ahead: int = ahead) -> Turns:
                    return way.turns([bands] * len(way.runs), ahead, even=again)

                def made(bands: int, chosen: Callable[[int], Turns] = chosen) -> Schedule | None:
                    return attempt(chosen(bands))

                bands, schedule = _fewest(made, most)
                if schedule is not None and again:
                    # One more leaves more memory to weights that are to come.
                    more = ((chosen(bands + 1), made(bands + 1)),)
                    every = [*more, (chosen(bands), schedule), *_fewer(way, bands, ahead, attempt)]
                    found |= {turns: s for turns, s in reversed(every) if s is not None}
                    continue
                while schedule is not None:
                    if schedule.streamed:
                        # Of bands for which weights come again, fewer only wait longer.
                        found.clear()
                    found.setdefault(chosen(bands), schedule)
                    # Cores that wait for each other's first band rather have more of them.
                    bands *= 2
                    more = several and bands <= most and _passes(schedule)
                    schedule = made(bands) if more else None
            yield from found.items()
            if found and not again:
                break


def _fewer(
    way: Way, bands: int, ahead: int, attempt: Callable[[Turns], Schedule | None]
) -> Iterator[tuple[Turns, Schedule]]:
    """Fewer and fewer even bands than so many of every run, in the end of each run as few as
    fit."""
    counts = [bands] * len(way.runs)
    for place in range(len(counts)):
        low = 0
        while counts[place] - low > 1:
            middle = (low + counts[place]) // 2
            fewer = [*counts[:place], middle, *counts[place + 1 :]]
            turns = way.turns(fewer, ahead, even=True)
            schedule = attempt(turns)
            if schedule is None:
                low = middle
            else:
                counts = fewer
                yield turns, schedule


def _by_rows(
    way: Way, most: int, attempt: Callable[[Turns], Schedule | None]
) -> Iterator[tuple[Turns, Schedule]]:
    """Bands of a row each, if nobody takes turns, there are up to ``most``, and no weights come
    again."""
    runs = [way.work.operations[first:last] for first, last in way.runs]
    rows = [output_rows(op) for run in runs for op, _ in run]
    if not all(map(own_cores, runs)) or max(rows, default=most + 1) > most:
        return
    for ahead in (1, FAR):
        turns = way.turns([most] * len(way.runs), ahead, even=False)
        schedule = attempt(turns)
        if schedule is not None and not schedule.streamed:
            yield turns, schedule


def _passes(schedule: Schedule) -> bool:
    """Whether the channel could bring streamed weights twice as often while the cores work."""
    busy = [0] * len(schedule.cores)
    for phase in schedule.phases:
        busy[phase.core] += phase.operation.array_steps(schedule.geometry(phase))
    beats = sum(fetch.beats for fetch in schedule.fetches[CONSTANTS] if fetch.target == WEIGHTS)
    return 2 * beats <= max(busy)


def _fewest(made: Callable[[int], Schedule | None], most: int) -> tuple[int, Schedule | None]:
    """The fewest bands, up to ``most``, of which a schedule can be made, if any, and that schedule;
    more bands than some that fit need less memory."""
    low, high = 1, 2
    while (found := made(high)) is None:
        low, high = high, 2 * high
        if high > most:
            return high, None
    while high - low > 1:
        middle = (low + high) // 2
        schedule = made(middle)
        low, high, found = (middle, high, found) if schedule is None else (low, middle, schedule)
    return high, found
