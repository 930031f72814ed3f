"""The order in which an operation's outputs are written, group by group."""

import numpy as np

from .operation import Geometry, Operation, Sink

__all__ = ["group_starts", "groups_per_pixel", "pixel_offsets", "written"]


def groups_per_pixel(op: Operation, geometry: Geometry) -> int:
    """Groups of lanes that a pixel's outputs take."""
    full, rest = divmod(op.outputs, geometry.cols)
    return full * geometry.groups + -(-rest // geometry.lanes)


def pixel_offsets(sink: Sink, count: int) -> np.ndarray:
    """Byte offset of each of ``count`` pixels in the sink's storage."""
    index = np.arange(count, dtype=np.int64)
    rows, cols = np.divmod(index, sink.pixels)
    return sink.offset + cols * sink.pixel + rows * ((sink.pixels - 1) * sink.pixel + sink.row)


def group_starts(op: Operation, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Byte offset and byte count of every group, in the order of tiles, passes, rows, groups."""
    pixels = op.window.pixel_count
    per_pixel = groups_per_pixel(op, geometry)
    channel = np.arange(per_pixel, dtype=np.int64)
    passes = channel // geometry.groups
    offset = channel * geometry.lanes
    count = np.minimum(geometry.lanes, op.outputs - offset)
    places = pixel_offsets(op.sink, pixels)
    tile, row = np.divmod(np.arange(pixels, dtype=np.int64), geometry.rows)
    # Sort key: tile, pass, row, group; pixels and channels are already in order within each.
    full_tile = tile[:, None] * op.passes(geometry) + passes[None, :]
    key = (full_tile * geometry.rows + row[:, None]) * geometry.groups
    key = key + channel[None, :] % geometry.groups
    order = np.argsort(key, axis=None, kind="stable")
    starts = (places[:, None] + offset[None, :]).reshape(-1)[order]
    counts = np.broadcast_to(count, (pixels, per_pixel)).reshape(-1)[order]
    return starts, counts


def written(
    latest: np.ndarray, op: Operation, geometry: Geometry, before: int, word_bytes: int
) -> int:
    """Marks in ``latest`` (one entry per word of the sink's storage) the groups written when each
    word is complete, ``before`` having been written earlier; returns the new total."""
    starts, counts = group_starts(op, geometry)
    serial = before + 1 + np.arange(len(starts), dtype=np.int64)
    np.maximum.at(latest, starts // word_bytes, serial)
    np.maximum.at(latest, (starts + counts - 1) // word_bytes, serial)
    return before + len(starts)
