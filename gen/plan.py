"""Planning: operations become a schedule, with addresses, tokens and transfers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from rtl.config import CONSTANTS, TENSORS
from rtl.fetch import BIASES, TENSOR, WEIGHTS

from . import schedule as regions
from .allocate import Allocation, allocate
from .constants import Constants, constants
from .errors import UserError
from .operation import Geometry, Operation, outputs_between
from .order import group_count, written
from .schedule import CorePlan, EpilogueTokens, FetchPlan, GatherTokens, Phase, Schedule, SendPlan

__all__ = ["Room", "Site", "completed", "homes", "plan"]

OUTPUT_PARTS = 4
"""An output leaves in so many transfers, so that its first part need not wait for its last."""


@dataclass(frozen=True)
class Room:
    """What a plan may use: bytes of each buffer, and words of each core's weight memory.

    Several cores need a buffer each, to which it alone writes, and one more for what is fetched.
    """

    buffers: tuple[int, ...]
    weight_words: tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """A core to plan for: its array, and the bits of its weights."""

    geometry: Geometry
    weight_bits: int

    @property
    def word_bytes(self) -> int:
        """Of a weight word; none where weights are the circuit."""
        if self.geometry.unrolled:
            return 0
        return self.geometry.cols * self.geometry.depth * (self.weight_bits // 8)


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


def homes(placed: Sequence[tuple[Operation, int]], inputs: Sequence[str]) -> dict[str, int]:
    """The buffer of each storage where there are several cores: that of the core that writes it,
    or the last, which is that of what is fetched.

    Raises
    ------
    UserError
        If several cores would write one storage.
    """
    cores = 1 + max(core for _, core in placed)
    result = dict.fromkeys(inputs, cores)
    for op, core in placed:
        if result.setdefault(op.sink.storage, core) != core:
            raise UserError(f"task '{op.tasks[0]}' must run on the core of what it joins")
    return result


class _Planner:
    def __init__(
        self,
        name: str,
        placed: Sequence[tuple[Operation, int]],
        storages: Mapping[str, int],
        inputs: Sequence[str],
        outputs: Sequence[str],
        sites: Sequence[Site],
        word_bytes: int,
        axi_bytes: int,
        room: Room,
        streamed: bool,
        channels: int,
    ):
        self.name, self.storages = name, storages
        self.operations = tuple(op for op, _ in placed)
        self.core = tuple(core for _, core in placed)
        self.inputs, self.outputs = inputs, outputs
        self.sites, self.room = sites, room
        self.geometry = [sites[core].geometry for core in self.core]
        self.word_bytes, self.axi_bytes = word_bytes, axi_bytes
        self.streamed = streamed
        self.allocation: Allocation = allocate(
            self.operations,
            storages,
            inputs=inputs,
            outputs=outputs,
            capacities=room.buffers,
            align=word_bytes,
            homes=homes(placed, inputs) if len(sites) > 1 else {},
        )
        self.constants: list[Constants] = []
        self.constants_at = [0] * len(placed)
        self.stream_at = []
        stream = 0
        for core, site in enumerate(sites):
            own = [i for i, c in enumerate(self.core) if c == core]
            for index, i in enumerate(own):
                self.constants_at[i] = index
            made = constants(
                [self.operations[i] for i in own],
                site.geometry,
                axi_bytes,
                streamed=streamed,
                weight_bits=site.weight_bits,
            )
            self.constants.append(made)
            self.stream_at.append(stream)
            stream += made.stream_bytes
        self.stream_bytes = stream
        # Each core's progress when an operation is over: groups, passes, words of its program.
        counts = [[0, 0, 0] for _ in sites]
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
        # Per channel its transfers, and their beats so far.
        self.fetches: list[list[FetchPlan]] = [[] for _ in range(channels)]
        self.fetched = [0] * len(self.fetches)
        self.sends: list[SendPlan] = []
        self.sent_by_life: dict[int, int] = {}
        self.offchip: dict[str, int] = {}
        self.region_bytes = [0, 0, 0, 0]
        self.spill_offsets: dict[str, int] = {}
        # Transfers sent when storages that become weights have left.
        self.factor_sent: dict[str, int] = {}
        lives = self.allocation.lifetimes
        # Count of groups stored, or of beats fetched, at which each word of a lifetime is there.
        self.latest = [np.zeros(life.size // word_bytes, dtype=np.int64) for life in lives]

    def _offset(self, region: int, size: int) -> int:
        offset = self.region_bytes[region]
        self.region_bytes[region] += -(-size // self.axi_bytes) * self.axi_bytes
        return offset

    def _users(self, life: int) -> list[int]:
        a = self.allocation
        triples = zip(a.sources, a.residuals, a.sinks, strict=True)
        return [i for i, used in enumerate(triples) if life in used]

    def _producer(self, life: int) -> int:
        """The core that writes a lifetime."""
        return next(self.core[i] for i, sink in enumerate(self.allocation.sinks) if sink == life)

    def _overlapping(self, life: int) -> list[int]:
        """Earlier lifetimes of any of the same bytes."""
        own = self.allocation.lifetimes[life]
        lives = self.allocation.lifetimes
        return [i for i, other in enumerate(lives[:life]) if own.shares(other)]

    def _counts(self, reached: Iterable[tuple[int, int]]) -> tuple[int, ...]:
        """Per core the largest of its counts."""
        counts = [0] * len(self.sites)
        for core, count in reached:
            counts[core] = max(counts[core], count)
        return tuple(counts)

    def _vacated(self, life: int) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """When earlier lifetimes have left the bytes of this one: words that each core has
        gathered, groups that it has stored, transfers sent."""
        users = [(i, other) for other in self._overlapping(life) for i in self._users(other)]
        gathered = self._counts((self.core[i], self.gathered[i]) for i, _ in users)
        stored = self._counts((self.core[i], self.stored[i]) for i, _ in users)
        sent = max((self.sent_by_life.get(n, 0) for n in self._overlapping(life)), default=0)
        return gathered, stored, sent

    def _fetch_lifetime(self, life: int) -> None:
        stay = self.allocation.lifetimes[life]
        if stay.storage in self.inputs:
            region, offset = regions.INPUTS, self.offchip[stay.storage]
        elif stay.storage in self.outputs:
            region, offset = regions.OUTPUTS, self.offchip[stay.storage]
        else:
            region, offset = regions.SPILLS, self.spill_offsets[stay.storage]
        gathered, stored, sent = self._vacated(life)
        for other, count in self.sent_by_life.items():
            if self.allocation.lifetimes[other].storage == stay.storage:
                sent = max(sent, count)
        beats = -(-self.storages[stay.storage] // self.axi_bytes)
        self.fetches[TENSORS].append(
            FetchPlan(
                name=stay.storage,
                region=region,
                offset=offset,
                beats=beats,
                target=TENSOR,
                buffer=stay.buffer,
                address=stay.address,
                gathered=gathered,
                passed=self._counts(()),
                stored=stored,
                sent=sent,
            )
        )
        ratio = self.word_bytes // self.axi_bytes
        last = np.minimum(ratio * (1 + np.arange(len(self.latest[life]))), beats)
        self.latest[life][:] = self.fetched[TENSORS] + last
        self.fetched[TENSORS] += beats

    def _send(self, life: int, region: int, offset: int, parts: int) -> None:
        stay = self.allocation.lifetimes[life]
        beats = -(-self.storages[stay.storage] // self.axi_bytes)
        ratio = self.word_bytes // self.axi_bytes
        edges = np.linspace(0, beats, min(parts, beats) + 1).astype(int)
        for first, last in pairwise(edges.tolist()):
            self.sends.append(
                SendPlan(
                    name=stay.storage,
                    region=region,
                    offset=offset + first * self.axi_bytes,
                    beats=last - first,
                    buffer=stay.buffer,
                    address=stay.address + first * self.axi_bytes,
                    producer=self._producer(life),
                    stored=int(self.latest[life][first // ratio : -(-last // ratio)].max()),
                )
            )
        self.sent_by_life[life] = len(self.sends)

    def _gather_tokens(self, i: int) -> GatherTokens:
        op = self.operations[i]
        life = self.allocation.sources[i]
        stay, latest = self.allocation.lifetimes[life], self.latest[life]
        size, unit = self.word_bytes, self.geometry[i].element_bytes
        needs = {}
        spans = op.window.spans()
        for y in sorted(op.window.touched_rows()):
            low, high = (unit * n for n in spans[y])
            if high > low:
                needs[y] = int(latest[low // size : (high - 1) // size + 1].max())
        need, step, limit = _progress(needs)
        start = 0
        # A machine with one core reads both operands of an addition through the same ports.
        for earlier in range(i if len(self.sites) == 1 else 0):
            residual = self.allocation.residuals[earlier]
            if residual is not None:
                other = self.allocation.lifetimes[residual]
                if other.buffer == stay.buffer:
                    start = self.stored[earlier]
        producer = None if stay.fetched else self._producer(life)
        return GatherTokens(producer, need, step, limit, start)

    def _epilogue_tokens(self, i: int, bias: int) -> EpilogueTokens:
        a, own = self.allocation, self.core[i]
        tensors = 0
        # What its own core does before it is over anyway.
        gathered, stored, sent = self._vacated(a.sinks[i])
        gathered = tuple(0 if core == own else n for core, n in enumerate(gathered))
        waits = [0 if core == own else n for core, n in enumerate(stored)]
        residual = a.residuals[i]
        if residual is not None:
            needed = int(self.latest[residual].max())
            if a.lifetimes[residual].fetched:
                tensors = needed
            else:
                core = self._producer(residual)
                waits[core] = max(waits[core], needed)
        for earlier in self._overlapping(a.sinks[i]):
            if a.lifetimes[earlier].fetched:
                # Beats that nobody waits for must still have landed before they are overwritten.
                tensors = max(tensors, int(self.latest[earlier].max()))
        fetched = [0] * len(self.fetches)
        fetched[CONSTANTS] = bias
        fetched[TENSORS] = max(fetched[TENSORS], tensors)
        return EpilogueTokens(tuple(fetched), tuple(waits), gathered, sent)

    def _fetch_weights(self, i: int, ring: "_Ring") -> tuple[int, int, int, int, int]:
        """Plans the transfers of a phase's weights; returns the first word, the passes until it is
        used again, the beats needed for the first pass and for each next one, and the beats after
        which the biases are there."""
        op, core, g = self.operations[i], self.core[i], self.geometry[i]
        c, at, stream = self.constants[core], self.constants_at[i], self.stream_at[core]
        if op.weights is None or op.product is not None or not self.streamed:
            return c.weight[at], op.passes(g), 0, 0, 0
        bias_words = -(-len(op.bias) // g.lanes)
        beats = bias_words * c.bias_beats
        self._fetch_block(i, stream + c.bias_offset[at], beats, BIASES, c.bias[at], 0)
        bias_ready = self.fetched[CONSTANTS]
        passes, words = op.passes(g), op.words(g)
        per_pass = words * c.weight_beats
        tiles = op.tiles(g)
        single = tiles == 1 or op.stationary
        before = self.passed[i] - passes * tiles
        around = ring.passes(passes, words) if single else passes
        first = ring.reserve(around * words)
        need = self.fetched[CONSTANTS] + (per_pass if single else passes * per_pass)
        for n in range(passes if single else 1):
            size = words if single else passes * words
            address, passed = ring.block(
                first,
                n % around,
                size,
                before + (n + 1) * tiles if single else self.passed[i],
            )
            base = stream + c.weight_offset[at] if op.factor is None else self._factor_offset(i)
            offset = base + n * per_pass * self.axi_bytes
            count = size * c.weight_beats
            self._fetch_block(i, offset, count, WEIGHTS, address, passed)
        return first, around, need, per_pass if single else 0, bias_ready

    def _factor_offset(self, i: int) -> int:
        """Where the weights of an operation lie that others have written."""
        op, g = self.operations[i], self.geometry[i]
        assert op.factor is not None
        word = g.cols * g.depth * g.element_bytes
        if word % self.axi_bytes:
            raise UserError(
                f"task '{op.tasks[0]}' needs weight words of whole beats of {self.axi_bytes} "
                f"bytes, not of {word}"
            )
        return self.spill_offsets[op.factor]

    def _fetch_block(
        self, i: int, offset: int, beats: int, target: int, address: int, passed: int
    ) -> None:
        core, none = self.core[i], self._counts(())
        factor = self.operations[i].factor if target == WEIGHTS else None
        self.fetches[CONSTANTS].append(
            FetchPlan(
                name=self.operations[i].name,
                region=regions.WEIGHTS if factor is None else regions.SPILLS,
                offset=offset,
                beats=beats,
                target=target,
                buffer=0,
                address=address,
                gathered=none,
                passed=self._counts([(core, passed)]),
                stored=none,
                sent=0 if factor is None else self.factor_sent[factor],
                core=core,
            )
        )
        self.fetched[CONSTANTS] += beats

    def run(self) -> Schedule:
        a = self.allocation
        lives = a.lifetimes
        for name in self.inputs:
            self.offchip[name] = self._offset(regions.INPUTS, self.storages[name])
        for name in self.outputs:
            self.offchip[name] = self._offset(regions.OUTPUTS, self.storages[name])
        self.region_bytes[regions.WEIGHTS] = self.stream_bytes
        for life, stay in enumerate(lives):
            if stay.fetched and stay.first < 0:
                self._fetch_lifetime(life)
        factors = {op.factor for op in self.operations}
        finished = {
            op.sink.storage: i
            for i, op in enumerate(self.operations)
            if op.sink.storage in self.outputs or op.sink.storage in factors
        }
        rings = [
            _Ring(c.resident_words, words)
            for c, words in zip(self.constants, self.room.weight_words, strict=True)
        ]
        phases = []
        for i, op in enumerate(self.operations):
            for life, stay in enumerate(lives):
                if stay.spilled and max(self._users(life), default=stay.first) < i:
                    self._spill(life)
            for life, stay in enumerate(lives):
                if stay.fetched and stay.first == i:
                    self._fetch_lifetime(life)
            core = self.core[i]
            c, at = self.constants[core], self.constants_at[i]
            gather = self._gather_tokens(i)
            weight, around, need, pass_need, bias = self._fetch_weights(i, rings[core])
            epilogue = self._epilogue_tokens(i, bias)
            sink = a.sinks[i]
            before = self.stored[i] - group_count(op, self.geometry[i])
            written(self.latest[sink], op, self.geometry[i], before, self.word_bytes)
            name = lives[sink].storage
            if i == finished.get(name) and name in factors:
                self._spill(sink)
                self.factor_sent[name] = len(self.sends)
            elif i == finished.get(name):
                self._send(sink, regions.OUTPUTS, self.offchip[name], OUTPUT_PARTS)
            phases.append(
                Phase(
                    operation=op,
                    core=core,
                    source=a.sources[i],
                    residual=a.residuals[i],
                    sink=sink,
                    weight=weight,
                    around=around,
                    bias=c.bias[at],
                    scale=c.scale[at],
                    table=c.table[at],
                    exponents=c.exponents[at],
                    gather=gather,
                    epilogue=epilogue,
                    need=need,
                    pass_need=pass_need,
                    stored_before=before,
                    stored=self.stored[i],
                )
            )
        cores = zip(self.sites, self.constants, rings, strict=True)
        return Schedule(
            name=self.name,
            cores=tuple(
                CorePlan(
                    geometry=site.geometry,
                    weight_words=max(1, ring.top),
                    resident_words=c.resident_words,
                    bias_words=c.bias_words,
                    scale_words=c.scale_words,
                    weight_bits=c.weight_bits,
                )
                for site, c, ring in cores
            ),
            word_bytes=self.word_bytes,
            axi_bytes=self.axi_bytes,
            buffer_bytes=tuple(_even(peak, 2 * self.word_bytes) for peak in a.peaks),
            phases=tuple(phases),
            lifetimes=lives,
            fetches=tuple(map(tuple, self.fetches)),
            sends=tuple(self.sends),
            offchip=self.offchip,
            region_bytes=tuple(self.region_bytes),  # pyright: ignore[reportArgumentType]
            streamed=self.streamed,
        )

    def _spill(self, life: int) -> None:
        if life in self.sent_by_life:
            return
        stay = self.allocation.lifetimes[life]
        if stay.storage not in self.spill_offsets:
            size = self.storages[stay.storage]
            self.spill_offsets[stay.storage] = self._offset(regions.SPILLS, size)
        self._send(life, regions.SPILLS, self.spill_offsets[stay.storage], 1)


def _even(size: int, unit: int) -> int:
    """``size`` rounded up to a positive multiple of ``unit``."""
    return max(1, -(-size // unit)) * unit


def completed(schedule: Schedule, phases: int) -> list[np.ndarray]:
    """Per lifetime and word, the count of groups stored, or where it is fetched of beats, at which
    the word is there, after the first ``phases``."""
    size, ratio = schedule.word_bytes, schedule.word_bytes // schedule.axi_bytes
    latest = [np.zeros(life.size // size, dtype=np.int64) for life in schedule.lifetimes]
    beats = 0
    arrived = iter([i for i, life in enumerate(schedule.lifetimes) if life.fetched])
    for fetch in schedule.fetches[TENSORS]:
        if fetch.target == TENSOR:
            life = next(arrived)
            index = np.arange(1, len(latest[life]) + 1)
            latest[life][:] = beats + np.minimum(ratio * index, fetch.beats)
        beats += fetch.beats
    for phase in schedule.phases[:phases]:
        sink, geometry = latest[phase.sink], schedule.geometry(phase)
        written(sink, phase.operation, geometry, phase.stored_before, size)
    return latest


class _Ring:
    """Weight memory behind the resident words, handed out block by block, oldest first."""

    def __init__(self, first: int, words: int):
        self.first, self.words = first, words
        self.at = first
        self.top = first
        self.blocks: list[tuple[int, int, int]] = []

    def passes(self, count: int, words: int) -> int:
        """How many of ``count`` passes of ``words`` the ring should hold: half of it is left to
        the next operation, unless two would not fit."""
        free = self.words - self.first
        return min(count, max(free // 2 // words, min(2, free // words), 1))

    def reserve(self, size: int) -> int:
        if self.first + size > self.words:
            raise UserError(
                f"weight memory of {self.words - self.first} words cannot hold {size} at once"
            )
        if self.at + size > self.words:
            self.at = self.first
        start = self.at
        self.at += size
        self.top = max(self.top, self.at)
        return start

    def block(self, first: int, n: int, size: int, last_pass: int) -> tuple[int, int]:
        """Address of block ``n``, and how many passes must be over before it may be written."""
        address = first + n * size
        passed = max(
            (p for a, s, p in self.blocks if a < address + size and address < a + s), default=0
        )
        self.blocks = [
            (a, s, p) for a, s, p in self.blocks if not (address <= a and a + s <= address + size)
        ]
        self.blocks.append((address, size, last_pass))
        return address, passed


def plan(
    name: str,
    placed: Sequence[tuple[Operation, int]],
    storages: Mapping[str, int],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    sites: Sequence[Site],
    word_bytes: int,
    axi_bytes: int,
    room: Room,
    streamed: bool,
    channels: int,
) -> Schedule:
    """Places, orders and synchronises operations, each on a core of ``sites``, within ``room``.

    With ``streamed``, weights and biases come from off chip, each once, in the order of their use,
    prefetched as far ahead as the weight memory allows, and over the last of ``channels``.

    Raises
    ------
    UserError
        If the room cannot hold a task's operands or its weights.
    """
    factors = [op for op, _ in placed if op.factor is not None]
    if factors and not streamed:
        raise UserError(f"task '{factors[0].tasks[0]}' takes its weights from off chip")
    if streamed:
        placed = [
            (part, core)
            for op, core in placed
            for part in _split(
                _stationary(op, sites[core].geometry),
                sites[core].geometry,
                room.weight_words[core]
                - len({other.unit for other, c in placed if c == core and other.weights is None}),
            )
        ]
    return _Planner(
        name,
        placed,
        storages,
        inputs,
        outputs,
        sites,
        word_bytes,
        axi_bytes,
        room,
        streamed,
        channels,
    ).run()


def _stationary(op: Operation, geometry: Geometry) -> Operation:
    """Pass by pass over all pixels, where patches can be gathered as fast as they are used."""
    passes, tiles, window = op.passes(geometry), op.tiles(geometry), op.window
    if op.weights is None or window.segments is not None or passes == 1 or tiles == 1:
        return op
    if op.softmax is not None:
        return op
    beats = window.lines * window.taps * -(-window.run // (geometry.depth + 1))
    if geometry.rows * beats > op.words(geometry):
        return op
    return replace(op, stationary=True, window=replace(window, repeats=passes))


def _split(op: Operation, geometry: Geometry, free: int) -> list[Operation]:
    """An operation whose weights do not fit at once, cut into blocks of output channels."""
    words, passes = op.words(geometry), op.passes(geometry)
    alone = op.stationary or op.tiles(geometry) == 1
    alone |= op.softmax is not None or op.factor is not None
    if op.weights is None or passes * words <= free // 2 or passes == 1 or alone:
        return [op]
    result: list[Operation] = []
    per_block = max(1, (free // 2) // words)
    for first in range(0, passes, per_block):
        low = first * geometry.cols
        high = min(op.outputs, (first + per_block) * geometry.cols)
        part = outputs_between(op, low, high)
        name = op.name if not first else f"{op.name}_part{first // per_block}"
        further = op.sink.offset + first * op.sink.steps(geometry)[1]
        result.append(replace(part, name=name, sink=replace(op.sink, offset=further)))
    return result
