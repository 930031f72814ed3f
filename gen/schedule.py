"""Schedule: what every unit does, in which order, and what it waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtl.config import Pattern

from .allocate import Lifetime
from .operation import Geometry, Operation

__all__ = [
    "CorePlan",
    "EpilogueTokens",
    "FetchPlan",
    "GatherTokens",
    "Phase",
    "Schedule",
    "SendPlan",
]

INPUTS, OUTPUTS, WEIGHTS, SPILLS = range(4)
"""Off-chip regions, whose base addresses a host sets."""


@dataclass(frozen=True)
class GatherTokens:
    """When source rows may be read: row y once ``min(need + step * y, limit)`` is reached.

    The count is of groups that the core ``producer`` has stored, or if that is None, of beats of
    the channel of tensors. Nothing is read before the core itself has stored ``start`` groups.
    """

    producer: int | None
    need: int
    step: int
    limit: int
    start: int = 0


@dataclass(frozen=True)
class EpilogueTokens:
    """What must have happened before the first group is taken: beats fetched over each channel,
    groups stored and words gathered by each core, transfers sent."""

    fetched: tuple[int, ...]
    stored: tuple[int, ...]
    gathered: tuple[int, ...]
    sent: int = 0


@dataclass(frozen=True)
class Phase:
    """An operation with everything placed: one word for gather, core and epilogue of a ``core``.

    ``source``, ``residual`` and ``sink`` index the schedule's lifetimes. Constants are given by
    their first word; the weights of ``around`` passes follow each other in their memory, then it
    begins again at the first word. ``need`` beats of the channel of constants must be fetched
    before the first pass's weights are there, ``pass_need`` more before each next pass's; both 0
    where weights stay on chip.
    ``stored_before`` and ``stored`` count the core's groups before and after the phase.
    """

    operation: Operation
    core: int
    source: int
    residual: int | None
    sink: int
    weight: int
    around: int
    bias: int
    scale: int
    table: int
    exponents: int
    gather: GatherTokens
    epilogue: EpilogueTokens
    need: int
    pass_need: int
    stored_before: int
    stored: int


@dataclass(frozen=True)
class FetchPlan:
    """A transfer from memory; waits until all counts are reached, of which ``gathered``,
    ``passed`` and ``stored`` have one per core. Offsets in bytes. ``core`` is whose weights or
    biases it brings; ``life`` the lifetime that it fills from byte ``first`` of its storage on."""

    name: str
    region: int
    offset: int
    beats: int
    target: int
    buffer: int
    address: int
    gathered: tuple[int, ...]
    passed: tuple[int, ...]
    stored: tuple[int, ...]
    sent: int = 0
    core: int = 0
    life: int = 0
    first: int = 0


@dataclass(frozen=True)
class SendPlan:
    """A transfer to memory, once the core ``producer`` has written ``stored`` groups: of the
    lifetime ``life``, from byte ``first`` of its storage on."""

    name: str
    region: int
    offset: int
    beats: int
    buffer: int
    address: int
    producer: int
    stored: int
    life: int = 0
    first: int = 0


@dataclass(frozen=True)
class CorePlan:
    """A core's array and the depths of its constant memories; the first ``resident_words`` of its
    weight words have fixed contents."""

    geometry: Geometry
    weight_words: int
    resident_words: int
    bias_words: int
    scale_words: int
    weight_bits: int

    @property
    def word_bytes(self) -> int:
        """Of a weight word."""
        return self.geometry.weight_word_bytes(self.weight_bits)

    @property
    def weight_bytes(self) -> int:
        """Of the weight memory."""
        return self.weight_words * self.word_bytes


@dataclass(frozen=True)
class Schedule:
    """Everything that is decided before the circuit exists.

    ``phases`` are in an order in which each only needs what those before it make; a core works on
    its own in this order. ``fetches`` are the transfers of each channel,
    :data:`rtl.config.TENSORS` and :data:`rtl.config.CONSTANTS`, which may be one.
    The first channel also does all ``sends``. ``offchip`` gives each graph input's and output's
    offset in its region, in bytes; ``region_bytes`` the size of the four regions. ``wired`` are the
    patterns of a core that already exists.
    """

    name: str
    cores: tuple[CorePlan, ...]
    word_bytes: int
    axi_bytes: int
    buffer_bytes: tuple[int, ...]
    phases: tuple[Phase, ...]
    lifetimes: tuple[Lifetime, ...]
    fetches: tuple[tuple[FetchPlan, ...], ...]
    sends: tuple[SendPlan, ...]
    offchip: Mapping[str, int]
    region_bytes: tuple[int, int, int, int]
    streamed: bool
    wired: tuple[Pattern, ...] = ()

    def geometry(self, phase: Phase) -> Geometry:
        """Of the core that does ``phase``."""
        return self.cores[phase.core].geometry

    def phases_of(self, core: int) -> tuple[Phase, ...]:
        """What a core does, in order."""
        return tuple(phase for phase in self.phases if phase.core == core)

    @property
    def element_bytes(self) -> int:
        """Bytes of an activation, the same in all cores."""
        return self.cores[0].geometry.element_bytes

    def patterns(self, core: int) -> tuple[Pattern, ...]:
        """Every pattern by which a core takes operands; those of a phase follow each other."""
        found = list(self.wired)
        for phase in self.phases_of(core):
            segments = phase.operation.window.segments
            own = segments.patterns if segments else ()
            if own and _place(found, own) is None:
                found += own
        return tuple(found)

    def pattern(self, phase: Phase) -> int:
        """The first of the phase's patterns among its core's, 0 if it has none."""
        segments = phase.operation.window.segments
        if segments is None:
            return 0
        return _place(self.patterns(phase.core), segments.patterns) or 0

    def accumulator_bits(self, core: int) -> int:
        """32, or what a core's largest sum of 16-bit activations takes."""
        if self.element_bytes == 1:
            return 32
        return max(32, *(phase.operation.sum_bits for phase in self.phases_of(core)))

    def scaled_bits(self, core: int) -> int:
        """What the accumulators of a core that runs nothing else need, at most
        :meth:`accumulator_bits`."""
        general = self.accumulator_bits(core)
        if self.element_bytes > 1:
            return general
        needed = max(phase.operation.scaled_bits for phase in self.phases_of(core))
        return min(general, needed)

    @property
    def channels(self) -> int:
        """AXI channels."""
        return len(self.fetches)

    @property
    def onchip_bytes(self) -> int:
        """Buffers, every copy of them, and weight memories."""
        weights = sum(core.weight_bytes for core in self.cores)
        return sum(n * c for n, c in zip(self.buffer_bytes, self.copies, strict=True)) + weights

    @property
    def moved_bytes(self) -> int:
        """What passes the channels."""
        plans = (*(fetch for channel in self.fetches for fetch in channel), *self.sends)
        return self.axi_bytes * sum(plan.beats for plan in plans)

    @property
    def copies(self) -> tuple[int, ...]:
        """How many copies of each buffer there are, see :func:`rtl.crossbar.copies`."""
        ports = {
            (self.lifetimes[life].buffer, phase.core, port)
            for phase in self.phases
            for port, life in (("gather", phase.source), ("residual", phase.residual))
            if life is not None
        }
        ports |= {(send.buffer, -1, "send") for send in self.sends}
        if len(self.cores) == 1:
            return (1,) * len(self.buffer_bytes)
        every = range(len(self.buffer_bytes))
        return tuple(max(1, sum(p[0] == b for p in ports)) for b in every)


def _place(patterns: Sequence[Pattern], own: tuple[Pattern, ...]) -> int | None:
    """Where ``own`` is a stretch of ``patterns``."""
    size = len(own)
    fits = (i for i in range(len(patterns) - size + 1) if tuple(patterns[i : i + size]) == own)
    return next(fits, None)
