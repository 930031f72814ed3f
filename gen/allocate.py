"""Allocation: which storage lies in which buffer, where, and from when to when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from .errors import UserError
from .operation import Operation
from .ring import Ring

__all__ = ["Allocation", "Lifetime", "allocate"]


@dataclass(frozen=True)
class Lifetime:
    """A stay of a storage on chip.

    ``first`` and ``last`` are operation indices: the one that writes it first (-1: it comes from
    off chip before any) and the last that uses it. ``fetched`` says that it is an input or is read
    back; ``spilled`` that it is written off chip after ``last``. Outputs of the graph leave as soon
    as they are complete. In a ``ring`` lie only some of the storage's ``extent`` bytes at a time;
    without one, that is the ``size`` on chip.
    """

    storage: str
    buffer: int
    address: int
    size: int
    first: int
    last: int
    fetched: bool = False
    spilled: bool = False
    ring: Ring | None = None
    extent: int = 0

    def place(self, offset: int) -> int:
        """The address of the storage's byte ``offset``."""
        return self.address + (offset if self.ring is None else offset % self.ring.size)

    def wrap(self, offset: int) -> tuple[int, int]:
        """The ring's bytes and those from ``offset`` to its end, or 0 and 0 if there is none."""
        return (0, 0) if self.ring is None else (self.ring.size, self.ring.wrap(offset))

    def shares(self, other: "Lifetime") -> bool:
        """Whether the two take some of the same bytes, at whatever time."""
        return (
            self.buffer == other.buffer
            and self.address < other.address + other.size
            and other.address < self.address + self.size
        )


@dataclass(frozen=True)
class Allocation:
    """Lifetimes, and per operation the one that it reads, adds and writes."""

    lifetimes: tuple[Lifetime, ...]
    sources: tuple[int, ...]
    residuals: tuple[int | None, ...]
    sinks: tuple[int, ...]
    peaks: tuple[int, ...]


@dataclass
class _Stay:
    storage: str
    buffer: int
    address: int
    size: int
    first: int
    last: int
    fetched: bool = False
    spilled: bool = False
    ring: Ring | None = None
    extent: int = 0


class _Allocator:
    def __init__(
        self,
        operations: Sequence[Operation],
        storages: Mapping[str, int],
        inputs: Sequence[str],
        outputs: Sequence[str],
        capacities: Sequence[int],
        align: int,
        homes: Mapping[str, int],
        rings: Mapping[str, Ring],
        total: int | None,
    ):
        self.operations, self.homes, self.rings = operations, homes, rings
        self.total = total
        self.peaks = [0] * len(capacities)
        # Storages over which others are being written.
        self.yielding: set[str] = set()
        self.extents = {n: -(-size // align) * align for n, size in storages.items()}
        sizes = {n: -(-ring.size // align) * align for n, ring in rings.items()}
        self.sizes = self.extents | sizes
        self.inputs, self.outputs, self.capacities = inputs, outputs, capacities
        self.stays: list[_Stay] = []
        self.here: dict[str, int] = {}
        self.offchip: set[str] = set()
        self.uses: dict[str, list[int]] = {n: [] for n in storages}
        self.pairs: dict[str, set[str]] = {n: set() for n in storages}
        self.made: dict[str, int] = {}
        for i, op in enumerate(operations):
            names = [op.window.storage, op.sink.storage]
            self.made.setdefault(op.sink.storage, i)
            if op.factor is not None:
                # What becomes weights keeps its place until then, so that nothing waits for it to
                # leave.
                names.append(op.factor)
            if op.residual is not None:
                other = op.residual.place.storage
                names.append(other)
            if op.residual is not None and not homes:
                self.pairs[other].add(op.window.storage)
                self.pairs[op.window.storage].add(other)
            for name in names:
                self.uses[name].append(i)

    def _gap(self, buffer: int, size: int) -> int | None:
        """The lowest free address of ``size`` bytes; with homes, never used before if possible."""
        here = [self.stays[i] for i in self.here.values()]
        fresh = self._between(buffer, size, self.stays) if self.homes else None
        return self._between(buffer, size, here) if fresh is None else fresh

    def _between(self, buffer: int, size: int, stays: Sequence[_Stay]) -> int | None:
        taken = sorted((s.address, s.size) for s in stays if s.buffer == buffer)
        at = 0
        for address, length in taken:
            if address - at >= size:
                return at
            at = max(at, address + length)
        return at if at + size <= self.capacities[buffer] else None

    def _homes(self, name: str) -> Sequence[int]:
        """Buffers in which a storage may lie."""
        return (self.homes[name],) if self.homes else range(len(self.capacities))

    def _choose(self, name: str, now: int) -> tuple[int, int] | None:
        size = self.sizes[name]
        barred = {
            self.stays[self.here[other]].buffer for other in self.pairs[name] if other in self.here
        }
        # A reader of this storage starts at once only if no residual is read from its buffer.
        op = self.operations[now] if 0 <= now < len(self.operations) else None
        residual = op.residual.place.storage if op is not None and op.residual else None
        shy = self.stays[self.here[residual]].buffer if residual in self.here else None
        choices = []
        for buffer in self._homes(name):
            address = self._gap(buffer, size)
            if buffer not in barred and address is not None:
                growth = max(0, address + size - self.peaks[buffer])
                if self.total is None or sum(self.peaks) + growth <= self.total:
                    choices.append((buffer == shy, growth, address + size, buffer, address))
        if not choices:
            return None
        return min(choices)[3:]

    def _over(self, now: int) -> tuple[int, int] | None:
        """The place of an operation's second operand, if nobody needs that afterwards and the
        result can take it, element by element: each is read before it is written."""
        sink, residual = self.operations[now].sink.storage, self.operations[now].residual
        if self.total is None or residual is None:
            return None
        name = residual.place.storage
        stay, later = self.stays[self.here[name]], [i for i in self.uses[name] if i >= now]
        writers = {i for i in self.uses[sink] if self.operations[i].sink.storage == sink}
        beside = {self.stays[self.here[n]].buffer for n in self.pairs[sink] if n in self.here}
        if (
            self.sizes[name] != self.sizes[sink]
            or name in self.outputs
            or {name, sink} & {*self.rings}
            or stay.buffer not in self._homes(sink)
            or stay.buffer in beside
            or writers != {*later}
            or not all(_over_second(self.operations[i], name, sink) for i in later)
        ):
            return None
        self.yielding.add(name)
        return stay.buffer, stay.address

    def _place(self, name: str, now: int, needed: set[str], fetched: bool) -> None:
        made = now >= 0 and name == self.operations[now].sink.storage
        choice = self._over(now) if made else None
        while choice is None and (choice := self._choose(name, now)) is None:
            barred = needed | self._unfinished(now) | {*self.rings} | self.yielding
            homes = self._homes(name)
            victims = [
                n
                for n, life in self.here.items()
                if n not in barred and self.stays[life].buffer in homes
            ]
            if not victims:
                raise self._too_small(now, needed | {name})
            victim = max(victims, key=lambda n: min(u for u in self.uses[n] if u >= now))
            stay = self.stays[self.here.pop(victim)]
            # What came from off chip unchanged is still there, and an output gets there anyway.
            stay.spilled = not stay.fetched and victim not in self.outputs
            stay.last = max([u for u in self.uses[victim] if u < now], default=stay.first)
            self.offchip.add(victim)
        self.here[name] = len(self.stays)
        buffer, address = choice
        self.peaks[buffer] = max(self.peaks[buffer], address + self.sizes[name])
        self.stays.append(
            _Stay(
                name,
                buffer,
                address,
                self.sizes[name],
                now,
                now,
                fetched,
                ring=self.rings.get(name),
                extent=self.extents[name],
            )
        )

    def _unfinished(self, now: int) -> set[str]:
        """Storages that a later operation still writes, which so have no complete contents."""
        return {op.sink.storage for op in self.operations[max(0, now) :]}

    def _too_small(self, now: int, names: set[str]) -> UserError:
        op = self.operations[min(now, len(self.operations) - 1)]
        needed = sum(self.sizes[n] for n in names)
        one = f"{len(self.capacities)} of {max(self.capacities)} bytes"
        has = one if self.total is None else f"{self.total} bytes of them"
        return UserError(
            f"task '{op.tasks[0]}' needs {needed} bytes of buffers at once, and there are {has}"
        )

    def _drop_dead(self, now: int) -> None:
        for name in list(self.here):
            stay = self.stays[self.here[name]]
            if not self.uses[name] or self.uses[name][-1] < now:
                stay.last = max([u for u in self.uses[name] if u < now], default=stay.first)
                del self.here[name]

    def run(self) -> Allocation:
        sources, residuals, sinks = [], [], []
        used = [name for name in self.inputs if self.uses[name]]
        for name in used:
            self._place(name, -1, {*used}, fetched=True)
        for i, op in enumerate(self.operations):
            self._drop_dead(i)
            needed = {op.window.storage, op.sink.storage}
            reads = [op.window.storage]
            if op.residual is not None:
                reads.append(op.residual.place.storage)
                needed.add(reads[1])
            for name in reads:
                if name not in self.here:
                    # A band that reads nothing but padding may come before the first row is made.
                    self._place(name, i, needed, fetched=i > self.made.get(name, -1))
            if op.sink.storage not in self.here:
                self._place(op.sink.storage, i, needed, fetched=False)
            sources.append(self.here[op.window.storage])
            residuals.append(None if op.residual is None else self.here[reads[1]])
            sinks.append(self.here[op.sink.storage])
        self._drop_dead(len(self.operations))
        lifetimes = tuple(Lifetime(**vars(stay)) for stay in self.stays)
        places = tuple(sources), tuple(residuals), tuple(sinks)
        return Allocation(lifetimes, *places, tuple(self.peaks))


def _over_second(op: Operation, second: str, sink: str) -> bool:
    """Whether an operation reads ``second`` as nothing but its second operand, each element where
    it then writes one of ``sink``."""
    if op.residual is None or {op.window.storage, op.factor} & {second, sink}:
        return False
    return (
        op.residual.place.storage == second and replace(op.residual.place, storage=sink) == op.sink
    )


def allocate(
    operations: Sequence[Operation],
    storages: Mapping[str, int],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    capacities: Sequence[int],
    align: int,
    homes: Mapping[str, int],
    rings: Mapping[str, Ring] = MappingProxyType({}),
    total: int | None = None,
) -> Allocation:
    """Places every storage for every stretch of operations in which it is needed on chip.

    First fit within a buffer; of the buffers, the one that grows least. Where nothing fits, the
    storage whose next use is farthest away leaves (Belady 1966), to be fetched again for that use.
    The two operands of an addition get different buffers. With ``homes``, they need not, and no
    byte is used twice as long as there are others: several cores work at once, and one that reuses
    what another reads must wait for it.

    Parameters
    ----------
    capacities
        Bytes of each buffer.
    homes
        The buffer in which each storage must lie; empty for any.
    rings
        Of storages that are never on chip as a whole; they stay from first use to last.
    align
        Addresses and sizes are multiples of this many bytes.
    total
        Bytes of all buffers together, where memory is scarce. Results then overwrite their second
        operand where nobody else needs it.

    Raises
    ------
    UserError
        Naming the task whose operands do not fit at once, and what would suffice.
    """
    return _Allocator(
        operations, storages, inputs, outputs, capacities, align, homes, rings, total
    ).run()
