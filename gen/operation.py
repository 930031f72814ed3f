"""Operation: one word for each unit of the compute path, before anything has an address."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

__all__ = ["Geometry", "Operation", "Residual", "Sink", "Window"]


@dataclass(frozen=True)
class Geometry:
    """The array: ``rows`` pixels x ``cols`` channels x ``depth`` products; ``lanes`` outputs."""

    rows: int
    cols: int
    depth: int
    lanes: int

    @property
    def multipliers(self) -> int:
        return self.rows * self.cols * self.depth

    @property
    def groups(self) -> int:
        return self.cols // self.lanes


@dataclass(frozen=True)
class Window:
    """What the gather unit reads: five nested loops over bytes of one storage.

    ``rows`` x ``pixels`` output pixels, each of ``lines`` x ``taps`` runs of ``run`` contiguous
    bytes; steps are in bytes. ``offset`` is where the first tap of the first pixel lies, ``pitch``
    leads from a row of the source to the next, of which an output row takes ``row_stride`` and a
    line ``line_stride``. The first tap is at byte ``position`` of a source row of ``width`` bytes
    and in row ``line`` of ``height``; what lies outside is ``pad``. ``align`` starts a patch word
    with every run.
    """

    storage: str
    offset: int
    run: int
    taps: int = 1
    tap_step: int = 0
    lines: int = 1
    line_stride: int = 1
    pixels: int = 1
    pixel_step: int = 0
    rows: int = 1
    row_stride: int = 1
    pitch: int = 0
    position: int = 0
    width: int = 0
    line: int = 0
    height: int = 1
    pad: int = 0
    align: bool = False

    @property
    def pixel_count(self) -> int:
        return self.rows * self.pixels

    def patch_words(self, depth: int) -> int:
        """Words of ``depth`` bytes that a pixel's patch takes."""
        if self.align:
            return self.lines * self.taps * -(-self.run // depth)
        return -(-self.lines * self.taps * self.run // depth)

    def spans(self) -> list[tuple[int, int]]:
        """Per source row, the bytes [first, last) of the storage that any pixel reads."""
        taps = self.tap_step * np.arange(self.taps)
        pixels = self.pixel_step * np.arange(self.pixels)
        places = self.position + (pixels[:, None] + taps[None, :]).reshape(-1)
        inside = places[(places < self.width) & (places + self.run > 0)]
        low = max(0, int(inside.min(initial=self.width)))
        high = min(self.width, int((inside + self.run).max(initial=0)))
        start = self.offset - self.position
        rows = [start + (y - self.line) * self.pitch for y in range(self.height)]
        return [(row + low, row + high) for row in rows]

    def touched_rows(self) -> set[int]:
        """The source rows that any pixel reads."""
        y = {
            self.line + r * self.row_stride + k * self.line_stride
            for r in range(self.rows)
            for k in range(self.lines)
        }
        return {row for row in y if 0 <= row < self.height}


@dataclass(frozen=True)
class Sink:
    """Where outputs go, in bytes of a storage; a pixel's channels are contiguous.

    ``pixel`` leads from a pixel to the next in its row of ``pixels``, ``row`` from a row's last
    pixel to the next row's first.
    """

    storage: str
    offset: int
    pixel: int = 0
    row: int = 0
    pixels: int = 1


@dataclass(frozen=True)
class Residual:
    """The second operand of a fused addition, laid out as a sink, and the addition's numbers."""

    place: Sink
    zero_a: int
    rescale_a: tuple[int, int]
    zero_b: int
    rescale_b: tuple[int, int]
    rescale_out: tuple[int, int]
    zero_out: int
    clamp: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Operation:
    """``outputs`` channels for each pixel of ``window``.

    ``weights`` is int16 (outputs, K), K in the order of the window's bytes; or None: output ``j``
    is ``unit`` times the sum (or, with ``maximum``, the maximum) over taps of each run's byte j.
    ``bias``, ``multiplier``, ``shift`` have one entry per output, or one for all.
    ``even`` is how requantisation rounds, as in :mod:`gen.graph`; None where it rounds nothing.
    ``table`` is a lookup of 256 entries; ``softmax`` (pixels per softmax row, exponential table of
    256 entries).
    """

    name: str
    tasks: tuple[str, ...]
    window: Window
    outputs: int
    weights: np.ndarray | None
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    zero: int
    clamp: tuple[int, int]
    sink: Sink
    maximum: bool = False
    even: bool | None = None
    unit: int = 1
    residual: Residual | None = None
    table: np.ndarray | None = None
    softmax: tuple[int, np.ndarray] | None = None
    macs: int = field(default=0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Operation):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def passes(self, geometry: Geometry) -> int:
        return -(-self.outputs // geometry.cols)

    def tiles(self, geometry: Geometry) -> int:
        return -(-self.window.pixel_count // geometry.rows)

    def words(self, geometry: Geometry) -> int:
        """Patch and weight words of one pass."""
        return self.window.patch_words(geometry.depth)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return a == b
