"""The order in which an operation's outputs are written, group by group."""

from dataclasses import replace

import numpy as np

from .operation import Geometry, Operation, Sink

__all__ = [
    "group_count",
    "group_starts",
    "groups_per_pixel",
    "operand_bytes",
    "pixel_offsets",
    "second_words",
    "written",
    "written_bytes",
    "written_words",
]


def groups_per_pixel(op: Operation, geometry: Geometry) -> int:
    """Groups of lanes that a pixel's outputs take."""
    full, rest = divmod(op.outputs, geometry.cols)
    return full * geometry.groups + -(-rest // geometry.lanes)


def pixel_offsets(sink: Sink, count: int) -> np.ndarray:
    """Byte offset of each of ``count`` pixels in the sink's storage."""
    index = np.arange(count, dtype=np.int64)
    rows, cols = np.divmod(index, sink.pixels)
    return sink.offset + cols * sink.pixel + rows * ((sink.pixels - 1) * sink.pixel + sink.row)


def group_count(op: Operation, geometry: Geometry) -> int:
    """Groups of lanes that all outputs take."""
    if op.window.segments is not None:
        return op.passes(geometry) * op.tiles(geometry) // (2 if op.pool else 1)
    return groups_per_pixel(op, geometry) * op.window.pixel_count


def group_starts(op: Operation, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Element at which every group begins and its number of elements, in the order in which the
    array delivers them: tiles, passes, rows, groups; or, if stationary, passes before tiles."""
    if op.window.segments is not None:
        return _tile_starts(op, geometry)
    places, offset, count = _places(op, geometry)
    g, passes, tiles = geometry, op.passes(geometry), op.tiles(geometry)
    # As if every tile had all its rows, and every pass all its groups.
    pixel = np.arange(tiles * g.rows).reshape(tiles, 1, g.rows, 1)
    channel = np.arange(passes * g.groups).reshape(1, passes, 1, g.groups)
    if op.stationary:
        pixel, channel = pixel.swapaxes(0, 1), channel.swapaxes(0, 1)
    there = (pixel < len(places)) & (channel < len(offset))
    starts = places[pixel % len(places)] + offset[channel % len(offset)]
    counts = np.broadcast_to(count[channel % len(offset)], starts.shape)
    return starts[there], counts[there]


def _places(op: Operation, geometry: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of an operation without segments: where each pixel lies, and of each of a pixel's groups how
    much further on it begins and how many elements it has."""
    channel = np.arange(groups_per_pixel(op, geometry), dtype=np.int64)
    passes, group = np.divmod(channel, geometry.groups)
    group_step, pass_step = op.sink.steps(geometry)
    offset = passes * pass_step + group * group_step
    count = np.minimum(geometry.lanes, op.outputs - channel * geometry.lanes)
    return pixel_offsets(op.sink, op.window.pixel_count), offset, count


def _tile_starts(op: Operation, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Of an operation on segments, where a tile is one group."""
    segments = op.window.segments
    assert segments is not None
    tiles, passes = op.tiles(geometry), op.passes(geometry)
    row, x = np.divmod(np.arange(tiles, dtype=np.int64), op.sink.pixels)
    n = np.arange(passes, dtype=np.int64)[:, None]
    at_edge = (n == passes - 1, x == op.sink.pixels - 1, row == row[-1])[segments.edge]
    starts = n * op.sink.steps(geometry)[1] + pixel_offsets(op.sink, tiles)
    counts = np.broadcast_to(np.where(at_edge, segments.tail, segments.columns), starts.shape)
    starts, counts = starts.reshape(-1), counts.reshape(-1)
    if not op.pool:
        return starts, counts
    below = np.arange(len(starts)) // op.pool_row % 2 == 1
    return starts[below], counts[below] // 2


def written(
    latest: np.ndarray, op: Operation, geometry: Geometry, before: int, word_bytes: int
) -> int:
    """Marks in ``latest`` (one entry per word of the sink's storage) the groups written when each
    word is complete, ``before`` having been written earlier; returns the new total."""
    first, last = written_words(op, geometry, word_bytes)
    serial = before + 1 + np.arange(len(first), dtype=np.int64)
    np.maximum.at(latest, first, serial)
    np.maximum.at(latest, last, serial)
    return before + len(first)


def written_words(
    op: Operation, geometry: Geometry, word_bytes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last word of the sink's storage in which each group lies, in order; no
    group is longer than a word."""
    starts, counts = (n * geometry.element_bytes for n in group_starts(op, geometry))
    return starts // word_bytes, (starts + counts - 1) // word_bytes


def second_words(op: Operation, geometry: Geometry, word_bytes: int) -> np.ndarray:
    """The words of the second operand's storage that are read."""
    assert op.residual is not None
    second = replace(op, sink=op.residual.place)
    return np.unique(np.concatenate(written_words(second, geometry, word_bytes)))


def written_bytes(op: Operation, geometry: Geometry) -> tuple[int, int]:
    """The bytes of the sink's storage between which all outputs lie."""
    if op.window.segments is not None:
        starts, counts = group_starts(op, geometry)
        low, high = starts.min(), (starts + counts).max()
    else:
        places, offset, count = _places(op, geometry)
        low, high = places.min() + offset.min(), places.max() + (offset + count).max()
    return geometry.element_bytes * int(low), geometry.element_bytes * int(high)


def operand_bytes(op: Operation, geometry: Geometry) -> tuple[tuple[int, int], tuple[int, int]]:
    """The bytes of the window's storage that are read, from the first to before the last, and those
    of the second operand's; (0, 0) where there are none."""
    unit, rows = geometry.element_bytes, op.window.touched_rows()
    spans = [span for y, span in enumerate(op.window.spans()) if y in rows and span[1] > span[0]]
    first = (0, 0)
    if spans:
        first = (unit * min(low for low, _ in spans), unit * max(high for _, high in spans))
    if op.residual is None:
        return first, (0, 0)
    return first, written_bytes(replace(op, sink=op.residual.place), geometry)
