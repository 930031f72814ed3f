"""Operation: one word for each unit of the compute path, before anything has an address."""

from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from rtl.config import Pattern

from .unrolled.product import Product

__all__ = [
    "Geometry",
    "Operation",
    "Residual",
    "Segments",
    "Sink",
    "Window",
    "outputs_between",
    "same",
]

KEPT = 1 << 13
"""Windows of which it is remembered which rows they read: those of a schedule."""


@dataclass(frozen=True)
class Geometry:
    """The array: ``rows`` pixels x ``cols`` channels x ``depth`` products of elements of
    ``element_bytes``; ``lanes`` outputs. If ``unrolled``, the weights of its one task are the
    circuit, which takes windows of words of ``depth``."""

    rows: int
    cols: int
    depth: int
    lanes: int
    element_bytes: int = 1
    unrolled: bool = False

    @property
    def multipliers(self) -> int:
        return 0 if self.unrolled else self.rows * self.cols * self.depth

    @property
    def groups(self) -> int:
        return self.cols // self.lanes

    def weight_word_bytes(self, weight_bits: int) -> int:
        """Of the weights that the array takes at once; none where they are the circuit."""
        return 0 if self.unrolled else self.cols * self.depth * (weight_bits // 8)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value of an element."""
        bits = 8 * self.element_bytes
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


@dataclass(frozen=True)
class Segments:
    """How columns get operands of their own: each line that the gather unit reads is a segment of
    ``size`` elements, and a step for each of ``patterns`` follows from it.

    Either the lines of a pixel are ``sums``: their steps make one tile of ``columns`` outputs, and
    with ``skip`` lines outside the tensor are left out. Or the lines are a sweep down a strip:
    after ``warm`` lines, every ``every``-th makes a tile, ``tiles`` in all; a row of pixels is then
    a band of strips, and a pass of its own. The last tile of a row of tiles (``edge`` 1) or all
    tiles of the last row (2) have only ``tail`` outputs.
    ``doubled`` reads a tensor of half the rows and columns as if it were upsampled by two.
    """

    patterns: tuple[Pattern, ...]
    size: int
    columns: int
    sums: bool
    skip: bool = False
    warm: int = 0
    every: int = 1
    tiles: int = 1
    edge: int = 0
    tail: int = 0
    doubled: bool = False


@dataclass(frozen=True)
class Window:
    """What the gather unit reads: nested loops over elements of one storage.

    ``rows`` x ``pixels`` output pixels, each of ``lines`` x ``taps`` runs of ``run`` contiguous
    elements; steps are in elements. ``offset`` is where the first tap of the first pixel lies,
    ``pitch`` leads from a row of the source to the next, of which an output row takes
    ``row_stride`` and a line ``line_stride``. The first tap is at element ``position`` of a source
    row of ``width`` elements and in row ``line`` of ``height``; what lies outside is ``pad``.
    ``align`` starts a patch word with every run. All of it is read ``repeats`` times, each
    ``repeat_step`` elements further on. With ``segments``, lines are segments.
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
    repeats: int = 1
    repeat_step: int = 0
    segments: Segments | None = None

    @property
    def pixel_count(self) -> int:
        return self.rows * self.pixels

    @property
    def sweep(self) -> Segments | None:
        """The segments, where lines are swept down strips."""
        return None if self.segments is None or self.segments.sums else self.segments

    @property
    def doubled(self) -> int:
        """1 where every stored row is shown twice, otherwise 0."""
        return int(self.segments is not None and self.segments.doubled)

    def patch_words(self, depth: int) -> int:
        """Words of ``depth`` elements that a pixel's patch takes; of segments, the weight words
        that a tile takes."""
        if self.segments is not None:
            return len(self.segments.patterns) * (self.lines if self.segments.sums else 1)
        if self.align:
            return self.lines * self.taps * -(-self.run // depth)
        return -(-self.lines * self.taps * self.run // depth)

    def spans(self) -> tuple[tuple[int, int], ...]:
        """Per source row, the elements [first, last) of the storage that any pixel reads."""
        return _spans(self)

    def pieces(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The same of each of the ``repeats``, per source row, without what lies between them."""
        return _pieces(self)

    def touched_rows(self) -> frozenset[int]:
        """The source rows that any pixel reads."""
        return _touched_rows(self)


@lru_cache(KEPT)
def _spans(window: Window) -> tuple[tuple[int, int], ...]:
    w = window
    taps = w.tap_step * np.arange(w.taps)
    pixels = w.pixel_step * np.arange(w.pixels)
    places = w.position + (pixels[:, None] + taps[None, :]).reshape(-1)
    inside = places[(places < w.width) & (places + w.run > 0)]
    low = max(0, int(inside.min(initial=w.width)))
    high = min(w.width, int((inside + w.run).max(initial=0)))
    high += max(0, w.repeats - 1) * w.repeat_step
    start = w.offset - w.position
    line = w.line >> w.doubled
    rows = [start + (y - line) * w.pitch for y in range(w.height)]
    return tuple((row + low, row + high) for row in rows)


@lru_cache(KEPT)
def _pieces(window: Window) -> tuple[tuple[tuple[int, int], ...], ...]:
    if window.repeats == 1:
        return tuple((span,) for span in _spans(window))
    steps = [n * window.repeat_step for n in range(window.repeats)]
    once = _spans(replace(window, repeats=1))
    return tuple(tuple((low + n, high + n) for n in steps) for low, high in once)


@lru_cache(KEPT)
def _touched_rows(window: Window) -> frozenset[int]:
    w = window
    y = {
        w.line + r * w.row_stride + k * w.line_stride for r in range(w.rows) for k in range(w.lines)
    }
    rows = (line >> w.doubled for line in y)
    return frozenset(row for row in rows if 0 <= row < w.height)


@dataclass(frozen=True)
class Sink:
    """Where outputs go, in elements of a storage.

    ``pixel`` leads from a pixel to the next in its row of ``pixels``, ``row`` from a row's last
    pixel to the next row's first. A pixel's channels are contiguous, unless ``group_step`` leads
    from a group of lanes to the next and ``pass_step`` from one pass to the next.
    """

    storage: str
    offset: int
    pixel: int = 0
    row: int = 0
    pixels: int = 1
    group_step: int | None = None
    pass_step: int | None = None

    def steps(self, geometry: Geometry) -> tuple[int, int]:
        """``group_step`` and ``pass_step``, also where channels are contiguous."""
        group = geometry.lanes if self.group_step is None else self.group_step
        return group, geometry.cols if self.pass_step is None else self.pass_step


@dataclass(frozen=True)
class Residual:
    """The second operand of a sum or, with ``multiply``, of a product, laid out as a sink, and how
    the two become the result.

    int8 are added as :class:`gen.graph.Add` says. int16 are added as they are, or multiplied, and
    then requantised by ``rescale_out``; of the other numbers only ``clamp`` counts.
    """

    place: Sink
    zero_a: int
    rescale_a: tuple[int, int]
    zero_b: int
    rescale_b: tuple[int, int]
    rescale_out: tuple[int, int]
    zero_out: int
    clamp: tuple[int, int]
    multiply: bool = False


@dataclass(frozen=True, eq=False)
class Operation:
    """``outputs`` channels for each pixel of ``window``.

    ``weights`` is int16 (outputs, K), K in the order of the window's elements; or None: output
    ``j`` is ``unit`` times the sum (or, with ``maximum``, the maximum) over taps of each run's
    element j. Where the window has segments, it is (words, columns, depth), the words of a tile in
    the order of its steps, and pass after pass; ``bias`` and the like have an entry per column and
    pass.
    ``bias``, ``multiplier``, ``shift`` have one entry per output, or one for all.
    Where ``factor`` names a storage, that holds the weights, in words as the array takes them, as
    other operations write it, and ``weights`` are the worst that they could be.
    ``product`` is what multiplies with the weights where they are the circuit.
    ``even`` is how requantisation rounds, as in :mod:`gen.graph`; None where it rounds nothing.
    ``table`` is a lookup of 256 entries, or of int16 interpolated between 257; ``softmax`` (pixels
    per softmax row, exponential table of 256 entries), of int16 with an empty table and
    ``fraction_bits``. With ``pool``, groups of each two rows become one of maxima of 2 by 2, at the
    second one's place. ``stationary`` makes a pass over all pixels before the next one; the window
    then has a repeat per pass.
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
    fraction_bits: int = 0
    pool: bool = False
    macs: int = field(default=0)
    stationary: bool = False
    factor: str | None = None
    product: Product | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Operation):
            return NotImplemented
        return all(same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @property
    def reads(self) -> tuple[str, ...]:
        """The storages of its operands: the window's and, if there is one, the second one's."""
        second = () if self.residual is None else (self.residual.place.storage,)
        return (self.window.storage, *second)

    @property
    def sum_bits(self) -> int:
        """Width that no sum of 16-bit activations exceeds, nor with its bias."""
        most = (self._terms << 15) + int(np.abs(self.bias).max(initial=0)) + (1 << 31)
        return most.bit_length() + 1

    @property
    def scaled_bits(self) -> int:
        """Width that no sum of int8 activations exceeds, nor with its bias, shifted left."""
        most = (self._terms << 7) + int(np.abs(self.bias, dtype=np.int64).max(initial=0))
        return (most << max(0, int(self.shift.max(initial=0)))).bit_length() + 1

    @cached_property
    def _terms(self) -> int:
        """The largest sum of an output's absolute weights."""
        if self.weights is None:
            terms = np.array(abs(self.unit) * self.window.lines * self.window.taps)
        elif self.window.segments is None:
            terms = np.array([np.abs(row, dtype=np.int32).sum() for row in self.weights])
        else:
            words = self.weights.astype(np.int64).reshape(
                -1, self.window.patch_words(0), *self.weights.shape[1:]
            )
            terms = np.abs(words).sum(axis=(1, 3))
        return int(terms.max())

    @property
    def pool_row(self) -> int:
        """Groups that are made of a row before those of the next: all, or in a sweep one."""
        return self.sink.pixels if self.window.sweep is None else 1

    def passes(self, geometry: Geometry) -> int:
        segments = self.window.segments
        if segments is not None:
            return self.window.repeats * (1 if segments.sums else self.window.rows)
        return -(-self.outputs // geometry.cols)

    def tiles(self, geometry: Geometry) -> int:
        segments = self.window.segments
        if segments is not None:
            return self.window.pixel_count if segments.sums else self.window.pixels * segments.tiles
        return -(-self.window.pixel_count // geometry.rows)

    def array_steps(self, geometry: Geometry) -> int:
        """Steps of the array: the words of every tile in every pass."""
        return self.passes(geometry) * self.tiles(geometry) * self.words(geometry)

    def words(self, geometry: Geometry) -> int:
        """Patch and weight words of one pass."""
        return self.window.patch_words(geometry.depth)


def outputs_between(op: Operation, low: int, high: int) -> Operation:
    """The part of ``op`` that makes outputs from ``low`` to before ``high``; it has no segments."""
    assert op.weights is not None
    residual = op.residual
    if residual is not None:
        place = replace(residual.place, offset=residual.place.offset + low)
        residual = replace(residual, place=place)
    return replace(
        op,
        outputs=high - low,
        weights=op.weights[low:high],
        bias=op.bias[low:high] if len(op.bias) > 1 else op.bias,
        multiplier=op.multiplier[low:high] if len(op.multiplier) > 1 else op.multiplier,
        shift=op.shift[low:high] if len(op.shift) > 1 else op.shift,
        sink=replace(op.sink, offset=op.sink.offset + low),
        residual=residual,
        macs=op.macs * (high - low) // op.outputs,
    )


def same(a: Any, b: Any) -> bool:
    """Equality of values, arrays, and tuples of them."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return a == b
