"""Lowering of copies to segments: a lane for every element, where they lie at equal distances."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtl.config import Pattern

from .cost import cycles
from .lower_copy import merged
from .lower_segments import Wiring
from .operation import Geometry, Operation, Segments, Sink, Window
from .views import View

__all__ = ["vectors"]


def vectors(
    made: list[Operation],
    source: View,
    sink: View,
    second: View | None,
    geometry: Geometry,
    wiring: Wiring,
    *,
    rows: bool,
) -> list[Operation]:
    """The copy ``made`` by patches as one operation on segments, where that is quicker.

    Elements of the source are a constant distance apart, and each of them becomes one or several
    neighbouring elements of the sink, beside as many of the second operand. Where ``rows`` are
    wanted, or cost no more tiles, an image's come one after the other, so that others can follow.
    """
    every = [source, sink] + ([second] if second else [])
    shape = _steady(source.shape, [view.strides for view in every])
    inner, height = None, 1
    if len(source.shape) == 4 and source.shape[0] == 1:
        inner = _steady(source.shape[2:], [view.strides[2:] for view in every])
    whole, row = (_tiles(each, geometry) for each in (shape, inner))
    if inner is not None and row and (rows or shape is None or source.shape[1] * row <= whole):
        shape, height = inner, source.shape[1]
    tiles = _tiles(shape, geometry)
    if shape is None or tiles == 0 or any(op.softmax is not None for op in made):
        return made
    count, step, times = shape
    abreast = geometry.cols // times
    segments = Segments(
        patterns=(Pattern(times, step, 1),),
        size=(abreast - 1) * step + 1,
        columns=abreast * times,
        sums=True,
        edge=1,
        tail=(count - (tiles - 1) * abreast) * times,
    )
    if not wiring.admits(segments):
        return made

    def place(view: View) -> Sink:
        pixel = abreast * times
        down = view.strides[1] - (tiles - 1) * pixel if height > 1 else 0
        return Sink(view.storage, view.offset, pixel=pixel, row=down, pixels=tiles)

    weights = np.zeros((1, geometry.cols, geometry.depth), np.int16)
    weights[..., 0] = 1
    residual = made[0].residual
    if residual is not None and second is not None:
        residual = replace(residual, place=place(second))
    own = replace(
        made[0],
        window=Window(
            storage=source.storage,
            offset=source.offset,
            run=segments.size,
            pixels=tiles,
            pixel_step=abreast * step,
            rows=height,
            pitch=source.strides[1] if height > 1 else 0,
            height=height,
            width=(count - 1) * step + 1,
            segments=segments,
        ),
        outputs=segments.columns,
        weights=weights,
        sink=place(sink),
        residual=residual,
        stationary=True,
    )
    costs = [cycles(way, geometry, wiring.word_bytes) for way in ([own], made)]
    return [own] if costs[0] < costs[1] + rows else made


def _tiles(shape: tuple[int, int, int] | None, geometry: Geometry) -> int:
    """Of elements such as :func:`_steady` says; 0 where there are none."""
    if shape is None or shape[2] > geometry.cols:
        return 0
    return -(-shape[0] // (geometry.cols // shape[2]))


def _steady(
    shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]
) -> tuple[int, int, int] | None:
    """Elements of the source, their distance, and how often each is written; None where a distance
    varies, or elements are not written side by side."""
    dims, steps = merged(shape, list(strides))
    if steps[-1][0] != 0:
        dims, steps = [*dims, 1], [*steps, [0] + [1] * (len(strides) - 1)]
    if len(dims) != 2 or any(step != 1 for step in steps[1][1:]):
        return None
    if steps[0][0] < 1 or any(step != dims[1] for step in steps[0][1:]):
        return None
    return dims[0], steps[0][0], dims[1]
