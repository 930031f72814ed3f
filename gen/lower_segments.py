"""Lowering of convolutions to segments: columns with operands of their own.

Depthwise, a column is a channel of a pixel; with few channels, an output of a pixel. Either way a
step serves several pixels, from one contiguous segment of each line. Where the window is low enough
for a step to take taps of all its lines, the gather unit sweeps down strips and reads every line
once; otherwise it reads the lines of each window, and their products are summed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rtl.config import Pattern

from .cost import cycles
from .graph import Conv, Tensor
from .operation import Geometry, Operation, Segments, Sink, Window
from .views import View

__all__ = ["FREE", "Images", "Wiring", "segmented"]

MOST_WARM, MOST_EVERY, MOST_WEIGHTS = 15, 16, 15
"""What the gather unit's fields hold."""


@dataclass(frozen=True)
class Wiring:
    """What a machine cuts out of segments: ``patterns``, or any where they are None, of segments of
    up to ``size`` elements, which come in words of ``word_bytes``; whether segments may be
    ``doubled``; and of how many groups rows may be whose results are pooled on their way."""

    patterns: tuple[Pattern, ...] | None = None
    size: int = 256
    word_bytes: int = 128
    doubled: bool = True
    pool: int = 64

    def suits(self, geometry: Geometry) -> bool:
        """Whether an array of ``geometry`` may have it."""
        own = geometry.rows == 1 and geometry.lanes == geometry.cols
        return own and self.patterns != () and not geometry.unrolled

    def admits(self, segments: Segments) -> bool:
        """Whether it serves ``segments``."""
        if segments.size > self.size or (segments.doubled and not self.doubled):
            return False
        if self.patterns is None:
            return True
        own = segments.patterns
        starts = range(len(self.patterns) - len(own) + 1)
        return any(self.patterns[i : i + len(own)] == own for i in starts)


BANDS = 8
"""An image that comes from off chip or goes there is swept in about so many bands."""

FREE = Wiring()
"""Of a machine that is yet to be built."""


@dataclass(frozen=True)
class Images:
    """What a convolution reads and writes, and where it lies; with ``pooled``, what lies in the
    ``sink`` are the maxima of 2 by 2 pixels. ``banded`` images come from off chip or go there."""

    source: View
    x: Tensor
    sink: View
    y: Tensor
    pooled: bool = False
    banded: bool = False


@dataclass(frozen=True)
class _Layout:
    """How columns are given away: ``pixels`` side by side, of each ``channels``, of each
    ``outputs``; and ``blocks`` of channels one after the other.

    A line of a pixel's window is ``taps`` elements of a segment, ``tap_step`` apart; the next
    pixel's begins ``pixel_step`` elements later. The segment is read in ``runs`` of ``run``
    elements, ``run_step`` apart.
    """

    outputs: int
    channels: int
    blocks: int
    pixels: int
    pixel_step: int
    taps: int
    tap_step: int
    runs: int
    run: int
    run_step: int
    size: int

    @property
    def columns(self) -> int:
        return self.pixels * self.channels * self.outputs

    def patterns(self, taps: int, lines: int) -> tuple[Pattern, ...]:
        """One for every ``taps`` taps of a line."""
        step = 0 if self.pixels == 1 else self.pixel_step
        return tuple(
            Pattern(self.outputs, step, taps, self.tap_step, lines, first * self.tap_step,
                    self.channels)
            for first in range(0, self.taps, taps)
        )  # fmt: skip


def _layout(task: Conv, images: Images, geometry: Geometry) -> _Layout | None:
    """How the columns of a depthwise convolution or of one with few outputs are given away."""
    source, x, sink, y = images.source, images.x, images.sink, images.y
    outputs, _, width, per_group = task.weights.shape
    channels, right, spread = x.shape[-1], source.strides[2], task.dilation[1]
    abreast = sink.strides[2] == outputs and not sink.panel
    if task.groups == channels and per_group == 1:
        per_channel = outputs // channels
        own, blocks = _blocks(channels, geometry.cols // per_channel, source.panel)
        if own == 0 or (blocks > 1 and 2 * own * per_channel < geometry.cols):
            return None
        whole = right == own
        taps, tap_step = width, spread * right if whole else own
    elif task.groups == 1 and right == channels and outputs <= geometry.cols:
        if spread > 1 and channels > 1:
            return None
        per_channel, own, blocks, whole = outputs, 1, 1, True
        taps, tap_step = width * channels, spread
    else:
        return None
    pixels = 1
    if abreast and whole and blocks == 1:
        pixels = min(geometry.cols // (own * per_channel), y.shape[2])
    step = task.stride[1] * right
    columns = (per_channel, own, blocks, pixels)
    if not whole:
        runs = (width, own, spread * right, width * own)
        return _Layout(*columns, 0, taps, tap_step, *runs)
    size = (pixels - 1) * step + own + (taps - 1) * tap_step
    run = size
    if source.doubled:
        # The first element shows the second half of a stored one, as at odd places.
        if channels > 1 or task.padding[2] % 2 == 0 or pixels * step % 2:
            return None
        run = size // 2 + 1
    return _Layout(*columns, step, taps, tap_step, 1, run, 0, size)


def _blocks(channels: int, most: int, panel: int) -> tuple[int, int]:
    """Channels of a block of at most ``most``, and blocks: of equal size, or the source's panels;
    none where the panels do not suit."""
    if panel:
        return (panel, -(-channels // panel)) if panel <= most else (0, 0)
    own = next((n for n in range(min(most, channels), 0, -1) if channels % n == 0), 0)
    return own, channels // own if own else 0


def _ways(
    task: Conv, layout: _Layout, images: Images, geometry: Geometry
) -> Iterator[tuple[Segments, int]]:
    """The segments of each way, and the taps of a step."""
    height, x, y = task.weights.shape[1], images.x, images.y
    rest = (y.shape[2] - 1) % layout.pixels + 1
    tail = rest * layout.channels * layout.outputs
    if layout.blocks > 1:
        tail = (x.shape[-1] - (layout.blocks - 1) * layout.channels) * layout.outputs
    common: dict = {"size": layout.size, "columns": layout.columns, "tail": tail}
    abreast = layout.pixels > 1
    most, stride = geometry.depth // height, task.stride[0]
    if most and task.dilation[0] == 1 and height - 1 <= MOST_WARM and stride <= MOST_EVERY:
        taps = -(-layout.taps // -(-layout.taps // most))
        yield Segments(
            patterns=layout.patterns(taps, height), sums=False, warm=height - 1, every=stride,
            tiles=_band(task, images) if abreast else y.shape[1], edge=2 if abreast else 0,
            doubled=images.source.doubled, **common,
        ), taps  # fmt: skip
    taps = -(-layout.taps // -(-layout.taps // geometry.depth))
    patterns = layout.patterns(taps, 1)
    single = stride == task.dilation[0] == 1
    if len(patterns) <= MOST_WEIGHTS and (single or not images.source.doubled):
        skip = x.zero_point == 0 and _always_inside(task, x, y)
        yield Segments(
            patterns=patterns, sums=True, skip=skip, edge=1 if abreast else 0,
            doubled=images.source.doubled, **common,
        ), taps  # fmt: skip


def _band(task: Conv, images: Images) -> int:
    """Rows of output in a band, of which there are about as many as :data:`BANDS` where the image
    comes from off chip or goes there, so that work and transfers overlap; otherwise one."""
    height = images.y.shape[1]
    if not images.banded:
        return height
    unit = 2 if images.pooled or images.source.doubled else 1
    sizes = range(-(-height // BANDS), height + 1)
    fits = (n for n in sizes if height % n == 0 and n % unit == 0 and n * task.stride[0] < 256)
    return next(fits, height)


def _always_inside(task: Conv, x: Tensor, y: Tensor) -> bool:
    """Whether there is padding above or below, and yet each window has a line in the image."""
    first = np.arange(y.shape[1]) * task.stride[0] - task.padding[0]
    lines = first[:, None] + np.arange(task.weights.shape[1]) * task.dilation[0]
    inside = (lines >= 0) & (lines < x.shape[1])
    return bool(inside.any(axis=1).all() and not inside.all())


def segmented(
    task: Conv, images: Images, geometry: Geometry, wiring: Wiring, bias: np.ndarray
) -> Operation | None:
    """The quickest operation on segments for ``task``, if the wiring admits any.

    ``bias`` (O,) has the input's zero point multiplied out.
    """
    layout = _layout(task, images, geometry)
    if layout is None:
        return None
    if images.pooled and not _poolable(layout, images):
        return None
    found: list[tuple[int, Operation, int]] = []
    for segments, taps in _ways(task, layout, images, geometry):
        strips = -(-images.y.shape[2] // layout.pixels) if segments.sums else 1
        if wiring.admits(segments) and (not images.pooled or strips <= wiring.pool):
            op = _operation(task, layout, segments, images, bias, geometry)
            found.append((cycles([op], geometry, wiring.word_bytes), op, taps))
    if not found:
        return None
    _, op, taps = min(found, key=lambda way: way[0])
    return replace(op, weights=_weights(task, layout, op, taps, geometry))


def _poolable(layout: _Layout, images: Images) -> bool:
    """Whether neighbouring columns are neighbouring pixels, and all come in pairs."""
    _, height, width, _ = images.y.shape
    single = layout.channels == layout.outputs == layout.blocks == 1
    even = not (height % 2 or width % 2 or layout.pixels % 2 or images.sink.strides[1] % 2)
    return single and even


def _operation(
    task: Conv,
    layout: _Layout,
    segments: Segments,
    images: Images,
    bias: np.ndarray,
    geometry: Geometry,
) -> Operation:
    """Everything but the weights."""
    source, x, y = images.source, images.x, images.y
    _, out_height, out_width, outputs = y.shape
    _, down, right, _ = source.strides
    top, _, left, _ = task.padding
    doubled, sums, stride = int(source.doubled), segments.sums, task.stride[0]
    strips, bands = -(-out_width // layout.pixels), out_height // segments.tiles
    # Of a doubled image, places and sizes of the stored one; lines are counted as they are shown.
    position = (-left >> doubled) * right
    window = Window(
        storage=source.storage,
        offset=source.offset + (-top >> doubled) * down + position,
        run=layout.run,
        taps=layout.runs,
        tap_step=layout.run_step,
        lines=task.weights.shape[1] if sums else (segments.tiles - 1) * stride + segments.warm + 1,
        line_stride=task.dilation[0],
        pixels=strips,
        pixel_step=(layout.pixels * task.stride[1] >> doubled) * right,
        rows=out_height if sums else bands,
        row_stride=stride if sums else stride * segments.tiles,
        pitch=down,
        position=position,
        width=(x.shape[2] >> doubled) * right,
        line=-top,
        height=x.shape[1] >> doubled,
        pad=x.zero_point,
        repeats=layout.blocks,
        repeat_step=source.panel_step or layout.channels,
        segments=segments,
    )
    chosen = _columns(task, layout, geometry)
    if not sums:
        chosen = np.tile(chosen, (bands, 1))
    return Operation(
        name=task.name,
        tasks=(task.name,),
        window=window,
        outputs=outputs,
        weights=np.zeros((1, 1, 1), np.int16),
        bias=np.where(chosen < 0, 0, bias[chosen]).reshape(-1),
        multiplier=_spread(task.multiplier, chosen),
        shift=_spread(task.shift, chosen),
        zero=y.zero_point,
        clamp=task.clamp,
        sink=_sink(layout, segments, images),
        even=task.even,
        pool=images.pooled,
        macs=out_height * out_width * int(task.weights.size),
        stationary=True,
    )


def _sink(layout: _Layout, segments: Segments, images: Images) -> Sink:
    """Where tiles go: along a row of strips; or down a strip, then the next, then the next band."""
    view, (_, height, width, _) = images.sink, images.y.shape
    offset, down, right = view.offset, view.strides[1], layout.pixels * view.strides[2]
    further = layout.channels * layout.outputs
    if images.pooled:
        # A group of maxima has the place of the second of its two rows.
        offset, down, right = offset - down // 2, down // 2, right // 2
    if segments.sums:
        strips = -(-width // layout.pixels)
        return Sink(view.storage, offset, right, down - (strips - 1) * right, strips, None, further)
    tiles = segments.tiles
    if tiles < height:
        further = tiles * down
    return Sink(view.storage, offset, down, right - (tiles - 1) * down, tiles, None, further)


def _spread(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Of each column's output; of the first output where a column has none."""
    return values if len(values) == 1 else values[np.maximum(chosen, 0)].reshape(-1)


def _columns(task: Conv, layout: _Layout, geometry: Geometry) -> np.ndarray:
    """(blocks, cols): the output that a column makes, -1 for none."""
    pixel, place = np.divmod(np.arange(geometry.cols), layout.channels * layout.outputs)
    block = np.arange(layout.blocks)[:, None] * layout.channels * layout.outputs
    output = block + place[None, :]
    made = (pixel[None, :] < layout.pixels) & (output < len(task.weights))
    return np.where(made, output, -1)


def _weights(
    task: Conv, layout: _Layout, op: Operation, taps: int, geometry: Geometry
) -> np.ndarray:
    """(words, cols, depth) in the order of passes, then steps of a tile."""
    outputs, height = task.weights.shape[:2]
    lines = task.weights.reshape(outputs, height, layout.taps)
    steps = -(-layout.taps // taps)
    lines = np.pad(lines, ((0, 1), (0, 0), (0, steps * taps - layout.taps)))
    own = lines[_columns(task, layout, geometry)]
    own = own.reshape(layout.blocks, geometry.cols, height, steps, taps)
    assert op.window.segments is not None
    if op.window.segments.sums:
        words = own.transpose(0, 2, 3, 1, 4).reshape(-1, geometry.cols, taps)
    else:
        words = own.transpose(0, 3, 1, 2, 4).reshape(-1, geometry.cols, height * taps)
    words = np.tile(words, (op.passes(geometry) // layout.blocks, 1, 1))
    return np.pad(words, ((0, 0), (0, 0), (0, geometry.depth - words.shape[2])))
