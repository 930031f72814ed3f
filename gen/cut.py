"""Cutting: an operation as several that make a part of its outputs each."""

from dataclasses import replace

from .operation import Geometry, Operation, outputs_between

__all__ = ["into_blocks", "stationary"]


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
    words, passes = op.words(geometry), op.passes(geometry)
    alone = op.stationary or op.tiles(geometry) == 1
    alone |= op.softmax is not None or op.factor is not None
    if op.weights is None or passes * words <= free // 2 or passes == 1 or alone:
        return [op]
    result: list[Operation] = []
    per_block = max(1, (free // 2) // words)
    for first in range(0, passes, per_block):
        low = first * geometry.cols
        high = min(op.outputs, (first + per_block) * geometry.cols)
        part = outputs_between(op, low, high)
        name = op.name if not first else f"{op.name}_part{first // per_block}"
        further = op.sink.offset + first * op.sink.steps(geometry)[1]
        result.append(replace(part, name=name, sink=replace(op.sink, offset=further)))
    return result
