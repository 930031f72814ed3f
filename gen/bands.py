"""Bands: tasks that take turns, a few rows each, so that what lies between them is never on chip as
a whole; or that stream from off chip and back, where even that is too much.

A section of operations is cut into bands of rows, from the last operation backwards: each band
makes what the next operation's band reads. The operations take turns, the last one first, each a
band behind the one that it reads from, so that nobody waits for what was written just before. This
is the layer fusion of Alwani et al. (Fused-layer CNN accelerators, MICRO 2016), without
recomputation. Where each operation has a core of its own, nobody takes turns: then each is cut into
bands of its own rows, and made as soon as others need it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm

from .errors import UserError
from .operation import Operation
from .ring import Ring
from .rows import aligned, output_rows, pitches, rows_between, rows_from, rows_until
from .work import Work

__all__ = ["Section", "Turns", "bandable", "interleaved", "own_cores"]


@dataclass(frozen=True)
class Section:
    """Operations from ``first`` to before ``last`` of some work, in bands of so many ``rows`` of
    what the last of them makes; unless bands are ``even``, the first and the last one are lower,
    since nothing runs beside the transfers that they wait for, and that wait for them. If each has
    a core of its own, in as many bands as so many ``rows`` of the highest image make, or in single
    rows."""

    first: int
    last: int
    rows: int
    even: bool = False

    def edges(self, rows: int) -> list[int]:
        """Of ``rows`` in all, those that are made after each band."""
        if self.even:
            return [*range(self.rows, rows, self.rows), rows]
        rest = rows % self.rows or min(rows, self.rows)
        first = -(-rest // 2)
        return [*range(first, rows, self.rows), rows]


@dataclass(frozen=True)
class Turns:
    """The ``sections`` of some work, in order and apart; storages that one of them makes and others
    read, which are ``away``, off chip in between; and how many bands a ring holds ``ahead``, beyond
    those in use, where off-chip transfers, or another core, fill or empty it."""

    sections: tuple[Section, ...]
    away: frozenset[str] = frozenset()
    ahead: int = 1


@dataclass(frozen=True)
class _Turn:
    """Rows from ``low`` to before ``high`` of the operation at a ``place`` of its section."""

    place: int
    low: int
    high: int


@dataclass(frozen=True)
class _Use:
    """An operation that reads a storage, and whether as its second operand."""

    op: Operation
    second: bool

    def until(self, rows: int) -> int:
        return rows if self.second else rows_until(self.op, rows)

    def after(self, row: int) -> int:
        return row if self.second else rows_from(self.op, row)


def bandable(work: Work) -> list[bool]:
    """Of each operation, whether it can make its rows band by band: all that use its storages must
    see the same rows there."""
    seen: dict[str, set[tuple[int, int] | None]] = {}
    uses: list[list[str]] = []
    for op, core in work.operations:
        unit = work.sites[core].geometry.element_bytes
        source, second, sink = (unit * pitch for pitch in pitches(op))
        rows = output_rows(op)
        used = [(op.window.storage, source, op.window.height), (op.sink.storage, sink, rows)]
        if op.residual is not None:
            used.append((op.residual.place.storage, second, rows))
        for name, pitch, height in used:
            whole = pitch * height == work.storages[name]
            seen.setdefault(name, set()).add((pitch, height) if whole else None)
        uses.append([name for name, _, _ in used])
    alike = {name for name, ways in seen.items() if len(ways) == 1 and None not in ways}
    return [
        alike.issuperset(names) and aligned(op, work.sites[core].geometry)
        for names, (op, core) in zip(uses, work.operations, strict=True)
    ]


def own_cores(pairs: Sequence[tuple[Operation, int]]) -> bool:
    """Whether several operations each have a core of their own."""
    return 1 < len(pairs) == len({core for _, core in pairs})


class _Section:
    """A section's operations, the storages that they use, and the rows of each that are made when
    so many bands are over."""

    def __init__(self, work: Work, section: Section):
        self.pairs = work.operations[section.first : section.last]
        self.height = section.rows
        unit = work.sites[0].geometry.element_bytes
        self.uses: dict[str, list[_Use]] = {}
        self.rows: dict[str, int] = {}
        self.pitch: dict[str, int] = {}
        self.lag: dict[str, int] = {}
        for op, _ in self.pairs:
            source, second, sink = (unit * pitch for pitch in pitches(op))
            reads = [(op.window.storage, source, False)]
            if op.residual is not None:
                reads.append((op.residual.place.storage, second, True))
            for name, pitch, is_second in reads:
                self.uses.setdefault(name, []).append(_Use(op, is_second))
                self._lies(name, pitch, work)
            self._lies(op.sink.storage, sink, work)
            lag = 1 + max(self.lag.get(name, -1) for name, _, _ in reads)
            self.lag[op.sink.storage] = max(lag, self.lag.get(op.sink.storage, 0))
        self.sinks = {op.sink.storage for op, _ in self.pairs}
        rows = self.rows[self.pairs[-1][0].sink.storage]
        self.edges = [edge / rows for edge in section.edges(rows)]
        self.bands = len(self.edges)

    def _lies(self, name: str, pitch: int, work: Work) -> None:
        if self.pitch.setdefault(name, pitch) != pitch or work.storages[name] % pitch:
            raise UserError(f"tensor '{name}' has no rows that all tasks see alike")
        self.rows[name] = work.storages[name] // pitch

    def turns(self, kept: set[str]) -> list[_Turn]:
        """Every band of every operation in order; of storages ``kept`` for others, all rows."""
        if not own_cores(self.pairs):
            return [*self._together(kept)]
        found: list[_Turn] = []
        sinks = [op.sink.storage for op, _ in self.pairs]
        for turn in self._by_need(kept):
            # Bands with nothing between them are one, which takes less time, if no rows leave.
            one = found and found[-1].place == turn.place and sinks[turn.place] not in kept
            last = found.pop() if one else turn
            found.append(replace(turn, low=min(last.low, turn.low)))
        return found

    def _by_need(self, kept: set[str]) -> Iterator[_Turn]:
        """Each band just before the first that reads it."""
        place_of = {op.sink.storage: place for place, (op, _) in enumerate(self.pairs)}
        done = dict.fromkeys(place_of, 0)
        bands = -(-max(self.rows[name] for name in place_of) // self.height)

        def until(name: str, rows: int) -> Iterator[_Turn]:
            """What makes so many rows of a storage."""
            place = place_of[name]
            step = -(-self.rows[name] // bands)
            while done[name] < rows:
                low, high = done[name], min(done[name] + step, self.rows[name])
                for source, uses in self.uses.items():
                    for use in uses:
                        if use.op is self.pairs[place][0] and source in place_of:
                            yield from until(source, use.until(high))
                yield _Turn(place, low, high)
                done[name] = high

        for name in place_of:
            if name in kept or name not in self.uses:
                yield from until(name, self.rows[name])

    def _made(self, kept: set[str]) -> dict[str, list[int]]:
        """Per storage that is written, its rows that are there after each band; of those ``kept``
        for others, all in the end."""
        result: dict[str, list[int]] = {}
        for op, _ in reversed(self.pairs):
            name = op.sink.storage
            if name in result:
                continue
            rows = self.rows[name]
            even = [round(rows * edge) for edge in self.edges]
            counts = [0] * self.bands
            for use in self.uses.get(name, ()):
                behind = result[use.op.sink.storage]
                counts = [max(c, use.until(n)) for c, n in zip(counts, behind, strict=True)]
            result[name] = counts if name in self.uses else even
            if name in self.uses and name in kept:
                result[name][-1] = rows
        return result

    def _together(self, kept: set[str]) -> Iterator[_Turn]:
        """All operations take turns, each a band behind those that it reads from."""
        made = self._made(kept)
        for step in range(self.bands + max(self.lag.values())):
            for place, (op, _) in reversed([*enumerate(self.pairs)]):
                band = step - self.lag[op.sink.storage]
                if 0 <= band < self.bands:
                    low, high = _between(made[op.sink.storage], band)
                    if high > low:
                        yield _Turn(place, low, high)


def _between(made: Sequence[int], band: int) -> tuple[int, int]:
    return (made[band - 1] if band else 0), made[band]


def interleaved(
    work: Work, turns: Turns, *, inputs: Sequence[str], outputs: Sequence[str], axi_bytes: int
) -> Work:
    """``work`` with the operations of each section taking turns.

    Raises
    ------
    UserError
        If a storage's rows cannot lie in a ring.
    """
    return _Interleaving(work, turns, inputs, outputs, axi_bytes).run()


class _Interleaving:
    def __init__(
        self,
        work: Work,
        turns: Turns,
        inputs: Sequence[str],
        outputs: Sequence[str],
        axi_bytes: int,
    ):
        self.work, self.turns, self.axi_bytes = work, turns, axi_bytes
        self.inputs, self.outputs = inputs, outputs
        self.storages = dict(work.storages)
        self.rings: dict[str, Ring] = {}
        inside = {i: s for s in turns.sections for i in range(s.first, s.last)}
        # The sections that make and that read each storage; None is outside of all.
        self.makers: dict[str, set[Section | None]] = {}
        self.readers: dict[str, set[Section | None]] = {}
        for i, (op, _) in enumerate(work.operations):
            self.makers.setdefault(op.sink.storage, set()).add(inside.get(i))
            for name in op.reads:
                self.readers.setdefault(name, set()).add(inside.get(i))

    def run(self) -> Work:
        operations: list[tuple[Operation, int]] = []
        at = 0
        for section in self.turns.sections:
            operations += self.work.operations[at : section.first]
            operations += self._section(section)
            at = section.last
        operations += self.work.operations[at:]
        return replace(
            self.work, operations=tuple(operations), storages=self.storages, rings=self.rings
        )

    def _section(self, section: Section) -> Iterator[tuple[Operation, int]]:
        own = _Section(self.work, section)
        elsewhere = {n for n in own.sinks if self.readers.get(n, {section}) != {section}}
        turns = own.turns(elsewhere | {n for n in own.sinks if n in self.outputs})
        back: dict[str, str] = {}
        for name, pitch in own.pitch.items():
            whole, away = self.storages[name], name in self.turns.away
            if not away and not self._alone(name, section):
                continue
            off_chip = away or name in self.inputs or name in self.outputs
            ring = _ring(own, name, turns, off_chip, self.turns.ahead, self.axi_bytes)
            size = min(ring.size, whole)
            if away and name in own.sinks:
                self.rings[name] = Ring(size, pitch, leaves=True)
            elif away:
                back[name] = f"{name}.{section.first}"
                self.storages[back[name]] = whole
                self.rings[back[name]] = Ring(size, pitch, back=name)
            elif size < whole:
                self.rings[name] = ring
        for turn in turns:
            op, core = own.pairs[turn.place]
            yield _reading(rows_between(op, turn.low, turn.high), back), core

    def _alone(self, name: str, section: Section) -> bool:
        """Whether nobody outside a section makes or reads a storage."""
        mine = {section}
        return self.readers.get(name, mine) == mine and self.makers.get(name, mine) == mine


def _reading(op: Operation, back: Mapping[str, str]) -> Operation:
    """The same from the storages that have come back."""
    window, residual = op.window, op.residual
    if window.storage in back:
        op = replace(op, window=replace(window, storage=back[window.storage]))
    if residual is not None and residual.place.storage in back:
        place = replace(residual.place, storage=back[residual.place.storage])
        op = replace(op, residual=replace(residual, place=place))
    return op


def _ring(
    own: _Section,
    name: str,
    turns: Sequence[_Turn],
    off_chip: bool,
    ahead: int,
    axi_bytes: int,
) -> Ring:
    """The smallest ring of a storage that nobody must wait for too long.

    When rows are written, those must still be there that are read later, or ``ahead`` of that.
    """
    pitch = own.pitch[name]
    # Per turn: the rows that it needs from on, and those that are there after it.
    needs: list[tuple[int, int]] = []
    ends: list[tuple[int, int]] = []
    cores: set[int] = set()
    for turn, band in enumerate(turns):
        op, core = own.pairs[band.place]
        for use in own.uses.get(name, ()):
            if use.op is op:
                cores.add(core)
                needs.append((turn, use.after(band.low)))
                if name not in own.sinks:
                    ends.append((turn, use.until(band.high)))
        if op.sink.storage == name:
            cores.add(core)
            ends.append((turn, band.high))
    fetched = name not in own.sinks
    most = 0
    for n, (turn, end) in enumerate(ends):
        later = [row for at, row in needs if at >= turn]
        if ahead and (fetched or len(cores) > 1):
            # While they are written, the turns just before may still read.
            later += [row for at, row in needs if at < turn][-ahead:]
        if off_chip and not fetched:
            # And what was written in the turns just before may still be on its way.
            later.append(ends[n - 1 - ahead][1] if n > ahead else 0)
        most = max(most, 1, end - min(later, default=end))
    unit = lcm(pitch, axi_bytes) if off_chip else pitch
    spare = axi_bytes - 1 if off_chip and pitch % axi_bytes else 0
    return Ring(-(-(most * pitch + spare) // unit) * unit, pitch)
