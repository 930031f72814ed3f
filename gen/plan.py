"""Planning: operations become a schedule, with addresses, tokens and transfers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from rtl.config import CONSTANTS, TENSORS

from .allocate import Allocation, allocate
from .constants import Constants, constants
from .errors import UserError
from .order import group_count, operand_bytes, second_words, written, written_bytes
from .prefetch import Placing, Prefetch
from .schedule import CorePlan, EpilogueTokens, GatherTokens, Phase, Schedule
from .streams import streaming
from .transfers import Transfers
from .work import Work

__all__ = ["Room", "allocated", "plan"]

OUTPUT_PARTS = (1, 2, 3, 2)
"""Shares of an output that leave in a transfer each: the first begins early, the last ends soon."""


@dataclass(frozen=True)
class Room:
    """What a plan may use: bytes of each buffer, and words of each core's weight memory; where
    memory is scarce, bytes of all buffers ``together``.

    Several cores need a buffer each, to which it alone writes, and one more for what is fetched.
    """

    buffers: tuple[int, ...]
    weight_words: tuple[int, ...]
    together: int | None = None


def _progress(needs: Mapping[int, int]) -> tuple[int, int, int]:
    """``(need, step, limit)`` such that ``min(need + step * y, limit)`` is at least ``needs[y]``
    for every row y, and little more."""
    if not needs:
        return 0, 0, 0
    rows = np.array(list(needs))
    wanted = np.array([needs[y] for y in rows])
    limit = int(wanted.max())
    steps = {0}
    if len(rows) > 1:
        slope = (wanted[-1] - wanted[0]) / (rows[-1] - rows[0])
        steps |= {max(0, int(np.floor(slope))), max(0, int(np.ceil(slope)))}
    best = None
    for step in sorted(steps):
        need = int((wanted - step * rows).max())
        excess = int((np.minimum(need + step * rows, limit) - wanted).sum())
        if best is None or excess < best[0]:
            best = (excess, need, step)
    assert best is not None
    return best[1], best[2], limit


class _Planner:
    def __init__(
        self,
        name: str,
        work: Work,
        inputs: Sequence[str],
        outputs: Sequence[str],
        word_bytes: int,
        axi_bytes: int,
        room: Room,
        streamed: bool,
        channels: int,
    ):
        self.name = name
        self.operations = tuple(op for op, _ in work.operations)
        self.core = tuple(core for _, core in work.operations)
        self.storages, self.sites = work.storages, work.sites
        self.inputs, self.outputs = inputs, outputs
        self.geometry = [work.sites[core].geometry for core in self.core]
        self.word_bytes, self.axi_bytes = word_bytes, axi_bytes
        self.streamed = streamed
        self.allocation = allocated(work, inputs, outputs, room, word_bytes)
        self.lives = self.allocation.lifetimes
        own = [[i for i, c in enumerate(self.core) if c == core] for core in range(len(self.sites))]
        self.place_in_core = {i: at for indices in own for at, i in enumerate(indices)}
        self.constants: list[Constants] = [
            constants(
                [self.operations[i] for i in indices],
                site.geometry,
                axi_bytes,
                streamed=streamed,
                weight_bits=site.weight_bits,
            )
            for indices, site in zip(own, self.sites, strict=True)
        ]
        self.transfers = Transfers(
            work.storages,
            self.lives,
            inputs,
            outputs,
            word_bytes,
            axi_bytes,
            channels,
            sum(c.stream_bytes for c in self.constants),
        )
        streams = accumulate((c.stream_bytes for c in self.constants), initial=0)
        self.prefetch = [
            Prefetch(core, len(self.sites), site.geometry, c, words, stream, self.transfers)
            for core, (site, c, words, stream) in enumerate(
                zip(self.sites, self.constants, room.weight_words, streams, strict=False)
            )
        ]
        # Each core's progress when an operation is over: groups, passes, words of its program.
        counts = [[0, 0, 0] for _ in self.sites]
        self.stored: list[int] = []
        self.passed: list[int] = []
        self.gathered: list[int] = []
        for i, op in enumerate(self.operations):
            g, count = self.geometry[i], counts[self.core[i]]
            count[0] += group_count(op, g)
            count[1] += op.passes(g) * op.tiles(g)
            count[2] += 1
            self.stored.append(count[0])
            self.passed.append(count[1])
            self.gathered.append(count[2])
        # Of each lifetime the operations that use it; the bytes that operations read and write; and
        # how far the rows of rings have come and gone.
        self.users: list[list[int]] = [[] for _ in self.lives]
        a = self.allocation
        for i, used in enumerate(zip(a.sources, a.residuals, a.sinks, strict=True)):
            for life in {life for life in used if life is not None}:
                self.users[life].append(i)
        pairs = [*zip(self.operations, self.geometry, strict=True)]
        self.reads = [operand_bytes(op, g) for op, g in pairs]
        self.writes = [written_bytes(op, g) for op, g in pairs]
        self.readers = [self._readers(life) for life in range(len(self.lives))]
        self.makers = [self._makers(life) for life in range(len(self.lives))]
        # Of each lifetime those before it of the same bytes, and when their users are over.
        self.earlier: dict[int, tuple[list[int], tuple[int, ...], tuple[int, ...]]] = {}
        # Of each buffer the groups stored when the last one has read its second operand there.
        self.added = [0] * len(room.buffers)
        self.reached = [0] * len(self.lives)
        self.sent_to = [0] * len(self.lives)

    def _readers(self, life: int) -> tuple[np.ndarray, np.ndarray]:
        """Of those who read a lifetime as what is gathered, and as their second operand: rows of
        operation, core, first byte, and the core's progress when it is over."""
        a, both = self.allocation, []
        for part, lives, reached in ((0, a.sources, self.gathered), (1, a.residuals, self.stored)):
            users = (i for i in self.users[life] if lives[i] == life)
            found = [(i, self.core[i], self.reads[i][part][0], reached[i]) for i in users]
            both.append(np.array(found, dtype=np.int64).reshape(-1, 4))
        return both[0], both[1]

    def _makers(self, life: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of those who write a lifetime: the operation, the byte before which it and those before
        it have written, and the first byte that it or one after it writes."""
        makers = [i for i in self.users[life] if self.allocation.sinks[i] == life]
        writes = np.array([self.writes[i] for i in makers], dtype=np.int64).reshape(-1, 2)
        first = np.minimum.accumulate(writes[::-1, 0])[::-1]
        return np.array(makers, dtype=np.int64), np.maximum.accumulate(writes[:, 1]), first

    def _producer(self, life: int) -> int:
        """The core that writes a lifetime."""
        return next(self.core[i] for i, sink in enumerate(self.allocation.sinks) if sink == life)

    def _overlapping(self, life: int) -> list[int]:
        """Earlier lifetimes of any of the same bytes."""
        own = self.lives[life]
        return [i for i, other in enumerate(self.lives[:life]) if own.shares(other)]

    def _counts(self, reached: Iterable[tuple[int, int]]) -> tuple[int, ...]:
        """Per core the largest of its counts."""
        counts = [0] * len(self.sites)
        for core, count in reached:
            counts[core] = max(counts[core], count)
        return tuple(counts)

    def _vacated(self, life: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """When earlier lifetimes have left the bytes of this one: words that each core has
        gathered, groups that it has stored, transfers sent."""
        if life not in self.earlier:
            before = self._overlapping(life)
            users = [i for other in before for i in self.users[other]]
            gathered = self._counts((self.core[i], self.gathered[i]) for i in users)
            stored = self._counts((self.core[i], self.stored[i]) for i in users)
            self.earlier[life] = before, gathered, stored
        before, gathered, stored = self.earlier[life]
        return gathered, stored, max(map(self.transfers.left_by, before), default=0)

    def _replaced(
        self, now: int, life: int, end: int
    ) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """The same for the rows of a ring that those up to byte ``end`` replace, as operation
        ``now`` needs these.

        Raises
        ------
        UserError
            If some would be replaced before they are read.
        """
        ring = self.lives[life].ring
        assert ring is not None
        gone = end - ring.size if ring.size < self.storages[self.lives[life].storage] else 0
        counts = []
        for readers in self.readers[life]:
            hit = readers[readers[:, 2] < gone]
            late = hit[hit[:, 0] >= now, 0]
            if len(late):
                raise UserError(
                    f"task '{self.operations[late[0]].tasks[0]}' needs rows of "
                    f"'{self.lives[life].storage}' for which {ring.size} bytes are too few"
                )
            last = np.zeros(len(self.sites), dtype=np.int64)
            np.maximum.at(last, hit[:, 1], hit[:, 3])
            counts.append(tuple(last.tolist()))
        sent = self.transfers.left_by(life, gone) if gone > 0 else 0
        return counts[0], counts[1], sent

    def _fetch_lifetime(self, life: int) -> None:
        gathered, stored, sent = self._vacated(life)
        name = self.lives[life].storage
        sent = max(sent, self.transfers.left(name))
        size = self.storages[name]
        self.transfers.fetch(life, 0, size, gathered=gathered, stored=stored, sent=sent)

    def _fetch_rows(self, i: int, life: int, end: int) -> None:
        """Brings the rows of a ring up to byte ``end``, which operation ``i`` reads."""
        stay, axi = self.lives[life], self.axi_bytes
        beats = -(-end // axi) * axi
        end = min(self.storages[stay.storage], beats)
        if end <= self.reached[life]:
            return
        free = [self._vacated(life), self._replaced(i, life, beats)]
        gathered, stored = (
            tuple(max(pair) for pair in zip(*(f[n] for f in free), strict=True)) for n in (0, 1)
        )
        sent = max(f[2] for f in free)
        if stay.ring is not None and stay.ring.back is not None:
            sent = max(sent, self.transfers.left(stay.ring.back, end))
        self.transfers.fetch(
            life, self.reached[life], end, gathered=gathered, stored=stored, sent=sent
        )
        self.reached[life] = end

    def _send(self, life: int, parts: tuple[int, ...] = (1,)) -> None:
        size = self.storages[self.lives[life].storage]
        self.transfers.send(life, 0, size, producer=self._producer(life), parts=parts)

    def _send_rows(self, i: int, life: int) -> None:
        """Takes the rows of a ring off chip that operation ``i`` completes, as far as they fill
        beats."""
        size = self.storages[self.lives[life].storage]
        makers, until, first = self.makers[life]
        after = int(np.searchsorted(makers, i, side="right"))
        end = int(until[after - 1])
        if after < len(makers):
            end = min(end, int(first[after]))
        end = size if end >= size else end // self.axi_bytes * self.axi_bytes
        if end > self.sent_to[life]:
            self.transfers.send(life, self.sent_to[life], end, producer=self._producer(life))
            self.sent_to[life] = end

    def _gather_tokens(self, i: int) -> GatherTokens:
        op = self.operations[i]
        life = self.allocation.sources[i]
        stay, latest = self.lives[life], self.transfers.latest[life]
        size, unit = self.word_bytes, self.geometry[i].element_bytes
        needs = {}
        pieces = op.window.pieces()
        for y in sorted(op.window.touched_rows()):
            ends = [
                latest[unit * low // size : (unit * high - 1) // size + 1].max()
                for low, high in pieces[y]
                if high > low
            ]
            if ends:
                needs[y] = int(max(ends))
        need, step, limit = _progress(needs)
        # A machine with one core reads both operands of an addition through the same ports.
        start = self.added[stay.buffer] if len(self.sites) == 1 else 0
        producer = None if stay.fetched else self._producer(life)
        return GatherTokens(producer, need, step, limit, start)

    def _epilogue_tokens(self, i: int, bias: int) -> EpilogueTokens:
        a, own = self.allocation, self.core[i]
        tensors = 0
        life = a.sinks[i]
        free = [self._vacated(life)]
        if self.lives[life].ring is not None:
            free.append(self._replaced(i, life, self.writes[i][1]))
        # What its own core does before it is over anyway.
        every = range(len(self.sites))
        gathered = [0 if core == own else max(f[0][core] for f in free) for core in every]
        waits = [0 if core == own else max(f[1][core] for f in free) for core in every]
        sent = max(f[2] for f in free)
        latest = self.transfers.latest
        residual = a.residuals[i]
        if residual is not None:
            words = second_words(self.operations[i], self.geometry[i], self.word_bytes)
            needed = int(latest[residual][words].max())
            if self.lives[residual].fetched:
                tensors = needed
            else:
                core = self._producer(residual)
                waits[core] = max(waits[core], needed)
        for earlier in self._overlapping(life):
            if self.lives[earlier].fetched:
                # Beats that nobody waits for must still have landed before they are overwritten.
                tensors = max(tensors, int(latest[earlier].max()))
        fetched = [0] * len(self.transfers.fetched)
        fetched[CONSTANTS] = bias
        fetched[TENSORS] = max(fetched[TENSORS], tensors)
        return EpilogueTokens(tuple(fetched), tuple(waits), tuple(gathered), sent)

    def _spill_finished(self, i: int) -> None:
        """What nobody on chip uses any more leaves, if it comes back."""
        for life, stay in enumerate(self.lives):
            idle = (self.users[life][-1] if self.users[life] else stay.first) < i
            if stay.spilled and idle and not self.transfers.sent(life):
                self._send(life)

    def _leave(self, i: int, last: Mapping[str, int], factors: set[str | None]) -> None:
        """What operation ``i`` has made goes off chip, if it belongs there."""
        life = self.allocation.sinks[i]
        stay = self.lives[life]
        name = stay.storage
        if stay.ring is not None:
            if name in self.outputs or stay.ring.leaves:
                self._send_rows(i, life)
        elif last[name] == i and name in factors:
            self._send(life)
        elif last[name] == i and name in self.outputs:
            self._send(life, OUTPUT_PARTS)

    def _place(self, i: int) -> Placing:
        """Brings what operation ``i`` multiplies with, if it is streamed."""
        core = self.core[i]
        at, passed = self.place_in_core[i], self.passed[i]
        return self.prefetch[core].place(self.operations[i], at, passed, streamed=self.streamed)

    def _weights_first(self) -> bool:
        """Whether the first operation's weights take less time to come than its operands."""
        op, geometry = self.operations[0], self.geometry[0]
        words = op.passes(geometry) * op.words(geometry)
        beats = words * self.constants[self.core[0]].weight_beats
        return beats < self.reads[0][0][1] // self.axi_bytes

    def run(self) -> Schedule:
        a, lives, transfers = self.allocation, self.lives, self.transfers
        placed = self._place(0) if self._weights_first() else None
        for life, stay in enumerate(lives):
            if stay.fetched and stay.first < 0 and stay.ring is None:
                self._fetch_lifetime(life)
        factors = {op.factor for op in self.operations}
        last = {op.sink.storage: i for i, op in enumerate(self.operations)}
        phases = []
        for i, op in enumerate(self.operations):
            self._spill_finished(i)
            for life, stay in enumerate(lives):
                if stay.fetched and stay.first == i and stay.ring is None:
                    self._fetch_lifetime(life)
            reads = zip((a.sources[i], a.residuals[i]), self.reads[i], strict=True)
            for life, (_, end) in reads:
                if life is not None and lives[life].fetched and lives[life].ring is not None:
                    self._fetch_rows(i, life, end)
            core = self.core[i]
            c, at = self.constants[core], self.place_in_core[i]
            gather = self._gather_tokens(i)
            placing = placed if i == 0 and placed is not None else self._place(i)
            epilogue = self._epilogue_tokens(i, placing.bias)
            before = self.stored[i] - group_count(op, self.geometry[i])
            written(transfers.latest[a.sinks[i]], op, self.geometry[i], before, self.word_bytes)
            if (second := a.residuals[i]) is not None:
                self.added[lives[second].buffer] = self.stored[i]
            self._leave(i, last, factors)
            phases.append(
                Phase(
                    operation=op,
                    core=core,
                    source=a.sources[i],
                    residual=a.residuals[i],
                    sink=a.sinks[i],
                    weight=placing.first,
                    around=placing.around,
                    bias=c.bias[at],
                    scale=c.scale[at],
                    table=c.table[at],
                    exponents=c.exponents[at],
                    gather=gather,
                    epilogue=epilogue,
                    need=placing.need,
                    pass_need=placing.pass_need,
                    stored_before=before,
                    stored=self.stored[i],
                )
            )
        cores = zip(self.sites, self.constants, self.prefetch, strict=True)
        return Schedule(
            name=self.name,
            cores=tuple(
                CorePlan(
                    geometry=site.geometry,
                    weight_words=max(1, prefetch.ring.top),
                    resident_words=c.resident_words,
                    bias_words=c.bias_words,
                    scale_words=c.scale_words,
                    weight_bits=c.weight_bits,
                )
                for site, c, prefetch in cores
            ),
            word_bytes=self.word_bytes,
            axi_bytes=self.axi_bytes,
            buffer_bytes=tuple(_even(peak, 2 * self.word_bytes) for peak in a.peaks),
            phases=tuple(phases),
            lifetimes=lives,
            fetches=tuple(map(tuple, transfers.fetches)),
            sends=tuple(transfers.sends),
            offchip={name: transfers.place(name)[1] for name in (*self.inputs, *self.outputs)},
            region_bytes=tuple(transfers.region_bytes),  # pyright: ignore[reportArgumentType]
            streamed=self.streamed,
        )


def _even(size: int, unit: int) -> int:
    """``size`` rounded up to a positive multiple of ``unit``."""
    return max(1, -(-size // unit)) * unit


def allocated(
    work: Work, inputs: Sequence[str], outputs: Sequence[str], room: Room, word_bytes: int
) -> Allocation:
    """Where the storages of ``work`` lie within ``room``.

    Raises
    ------
    UserError
        If a task's operands do not fit.
    """
    return allocate(
        [op for op, _ in work.operations],
        work.storages,
        inputs=inputs,
        outputs=outputs,
        capacities=room.buffers,
        align=word_bytes,
        homes=work.homes(inputs),
        rings=work.rings,
        total=room.together,
    )


def plan(
    name: str,
    work: Work,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    word_bytes: int,
    axi_bytes: int,
    room: Room,
    streamed: bool,
    channels: int,
) -> Schedule:
    """Places, orders and synchronises the operations of ``work`` within ``room``.

    With ``streamed``, weights and biases come from off chip, each once, in the order of their use,
    prefetched as far ahead as the weight memory allows, and over the last of ``channels``.

    Raises
    ------
    UserError
        If the room cannot hold a task's operands or its weights.
    """
    factors = [op for op, _ in work.operations if op.factor is not None]
    if factors and not streamed:
        raise UserError(f"task '{factors[0].tasks[0]}' takes its weights from off chip")
    if streamed:
        # Parts of what does not fit as a whole would not fit either, and that is known sooner.
        allocated(work, inputs, outputs, room, word_bytes)
        work = streaming(work, room.weight_words, word_bytes, axi_bytes)
    return _Planner(
        name, work, inputs, outputs, word_bytes, axi_bytes, room, streamed, channels
    ).run()
