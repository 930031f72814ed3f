"""Cutting: an operation as several that make a part of its outputs each."""

from dataclasses import replace
from math import gcd

from .operation import Geometry, Operation, outputs_between

__all__ = ["into_blocks", "into_parts", "stationary"]


def stationary(op: Operation, geometry: Geometry) -> Operation:
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


def into_blocks(op: Operation, geometry: Geometry, free: int) -> list[Operation]:
    """An operation whose weights do not fit at once, cut into blocks of output channels."""
    if _whole(op) or op.stationary or op.tiles(geometry) == 1:
        return [op]
    return _every(op, geometry, free // 2 // op.words(geometry))


def into_parts(op: Operation, geometry: Geometry, free: int, word_bytes: int) -> list[Operation]:
    """An operation that takes its weights pass by pass, cut into parts whose weights fill half of
    the ``free`` words, so that streams of several cores can alternate; of whole words of
    ``word_bytes`` of the outputs of a pixel, if it can be."""
    if _whole(op) or op.window.segments is not None:
        return [op]
    unit = max(1, word_bytes // geometry.element_bytes)
    unit //= gcd(unit, geometry.cols)
    most = free // 2 // op.words(geometry)
    return _every(op, geometry, max(most, 1) if most < unit else most // unit * unit)


def _whole(op: Operation) -> bool:
    """Whether an operation cannot be cut, or has nothing to gain from it."""
    return op.weights is None or op.softmax is not None or op.factor is not None


def _every(op: Operation, geometry: Geometry, count: int) -> list[Operation]:
    """Cut into operations of ``count`` passes, but at least one."""
    passes, result = op.passes(geometry), []
    per_part = max(1, count)
    if passes <= per_part:
        return [op]
    for first in range(0, passes, per_part):
        until = min(passes, first + per_part)
        high = min(op.outputs, until * geometry.cols)
        part = outputs_between(op, first * geometry.cols, high)
        window = replace(op.window, repeats=until - first) if op.stationary else op.window
        name = op.name if not first else f"{op.name}_part{first // per_part}"
        further = op.sink.offset + first * op.sink.steps(geometry)[1]
        sink = replace(op.sink, offset=further)
        result.append(replace(part, name=name, window=window, sink=sink))
    return result
