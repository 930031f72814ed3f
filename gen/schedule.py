"""Schedule: what every unit does, in which order, and what it waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtl.config import Pattern

from .allocate import Lifetime
from .operation import Geometry, Operation

__all__ = ["EpilogueTokens", "FetchPlan", "GatherTokens", "Phase", "Schedule", "SendPlan"]

INPUTS, OUTPUTS, WEIGHTS, SPILLS = range(4)
"""Off-chip regions, whose base addresses a host sets."""


@dataclass(frozen=True)
class GatherTokens:
    """When source rows may be read: row y once ``min(need + step * y, limit)`` is reached.

    The count is of groups stored, or with ``fetched`` of beats of the channel of tensors. Nothing
    is read before ``start`` groups are stored.
    """

    fetched: bool
    need: int
    step: int
    limit: int
    start: int = 0


@dataclass(frozen=True)
class EpilogueTokens:
    """What must have happened before the first group is taken: beats fetched over each channel,
    groups stored, transfers sent."""

    fetched: tuple[int, ...]
    stored: int = 0
    sent: int = 0


@dataclass(frozen=True)
class Phase:
    """An operation with everything placed: one word for gather, core and epilogue.

    ``source``, ``residual`` and ``sink`` index the schedule's lifetimes. Constants are given by
    their first word; the weights of ``around`` passes follow each other in their memory, then it
    begins again at the first word. ``need`` beats of the channel of constants must be fetched
    before the first pass's weights are there, ``pass_need`` more before each next pass's; both 0
    where weights stay on chip.
    ``stored_before`` and ``stored`` count groups before and after the phase.
    """

    operation: Operation
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
    """A transfer from memory; waits until all four counts are reached. Offsets in bytes."""

    name: str
    region: int
    offset: int
    beats: int
    target: int
    buffer: int
    address: int
    gathered: int = 0
    passed: int = 0
    stored: int = 0
    sent: int = 0


@dataclass(frozen=True)
class SendPlan:
    """A transfer to memory, once ``stored`` groups are written."""

    name: str
    region: int
    offset: int
    beats: int
    buffer: int
    address: int
    stored: int


@dataclass(frozen=True)
class Schedule:
    """Everything that is decided before the circuit exists.

    ``fetches`` are the transfers of each channel, :data:`rtl.config.TENSORS` and
    :data:`rtl.config.CONSTANTS`, which may be one. The first channel also does all ``sends``.
    ``offchip`` gives each graph input's and output's offset in its region, in bytes;
    ``region_bytes`` the size of the four regions. ``weight_words``, ``bias_words`` and
    ``scale_words`` are depths of the constant memories, of which the first ``resident_words``
    weight words have fixed contents.
    """

    name: str
    geometry: Geometry
    word_bytes: int
    axi_bytes: int
    buffer_bytes: tuple[int, ...]
    phases: tuple[Phase, ...]
    lifetimes: tuple[Lifetime, ...]
    fetches: tuple[tuple[FetchPlan, ...], ...]
    sends: tuple[SendPlan, ...]
    offchip: Mapping[str, int]
    region_bytes: tuple[int, int, int, int]
    weight_words: int
    resident_words: int
    bias_words: int
    scale_words: int
    weight_bits: int
    streamed: bool

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """Every pattern by which a phase takes operands; those of a phase follow each other."""
        found: list[Pattern] = []
        for phase in self.phases:
            segments = phase.operation.window.segments
            own = segments.patterns if segments else ()
            if _place(found, own) is None:
                found += own
        return tuple(found)

    def pattern(self, phase: Phase) -> int:
        """The first of the phase's patterns among all, 0 if it has none."""
        segments = phase.operation.window.segments
        return _place(self.patterns, segments.patterns if segments else ()) or 0

    @property
    def accumulator_bits(self) -> int:
        """32, or what the largest sum of any 16-bit phase takes."""
        if self.geometry.element_bytes == 1:
            return 32
        return max(32, *(phase.operation.sum_bits for phase in self.phases))

    @property
    def channels(self) -> int:
        """AXI channels."""
        return len(self.fetches)

    @property
    def onchip_bytes(self) -> int:
        """Buffers and weight memory."""
        g = self.geometry
        weight_bytes = g.cols * g.depth * (self.weight_bits // 8)
        return sum(self.buffer_bytes) + self.weight_words * weight_bytes


def _place(patterns: Sequence[Pattern], own: tuple[Pattern, ...]) -> int | None:
    """Where ``own`` is a stretch of ``patterns``."""
    size = len(own)
    fits = (i for i in range(len(patterns) - size + 1) if tuple(patterns[i : i + size]) == own)
    return next(fits, None)
