"""Cost: what operations roughly take, cheap enough to choose by."""

from collections.abc import Sequence

from .operation import Geometry, Operation, Window
from .order import groups_per_pixel

__all__ = ["OVERHEAD", "cycles", "early", "steps"]

OVERHEAD = 40
"""Cycles that a phase costs beyond its work, roughly."""


def cycles(operations: Sequence[Operation], geometry: Geometry, word_bytes: int) -> int:
    """Cycles if each phase is bound by its slowest unit alone: gather, array or epilogue."""
    return sum(_bound(op, geometry, word_bytes) + OVERHEAD for op in operations)


def steps(op: Operation, geometry: Geometry) -> int:
    """Cycles of an array that no schedule of ``op`` goes below."""
    if op.window.segments is not None:
        return op.passes(geometry) * op.tiles(geometry)
    return op.array_steps(geometry)


def early(op: Operation, geometry: Geometry) -> int:
    """Steps of its first tile that an operation makes before it needs the last line of a window."""
    window = op.window
    if window.sweep is not None:
        return 0
    lines = window.lines if window.segments is None else _lines(window) // window.pixel_count
    return max(0, lines - 1) * (op.words(geometry) // window.lines)


def _bound(op: Operation, geometry: Geometry, word_bytes: int) -> int:
    most = word_bytes // geometry.element_bytes
    w = op.window
    if w.segments is not None:
        beats = w.taps * -(-w.run // most)
        return max(w.repeats * _lines(w) * beats, w.repeats * _steps(w), op.tiles(geometry))
    gather = w.pixel_count * w.lines * w.taps * -(-w.run // min(most, geometry.depth + 1))
    return max(gather, op.array_steps(geometry), w.pixel_count * groups_per_pixel(op, geometry))


def _lines(w: Window) -> int:
    """Segments that a pass reads."""
    if w.segments is None or not w.segments.skip:
        return w.pixel_count * w.lines
    rows = range(w.line, w.line + w.rows * w.row_stride, w.row_stride)
    reach = range(0, w.lines * w.line_stride, w.line_stride)
    shown = w.height << w.doubled
    return w.pixels * sum(0 <= row + line < shown for row in rows for line in reach)


def _steps(w: Window) -> int:
    """Cycles of the core in a pass: each segment takes one, or a step for each pattern."""
    segments = w.segments
    assert segments is not None
    if segments.sums:
        return _lines(w) * len(segments.patterns)
    return w.pixel_count * (w.lines + segments.tiles * (len(segments.patterns) - 1))
