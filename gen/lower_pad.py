"""Lowering of constant padding: the gather unit fills what lies outside."""

import numpy as np

from .graph import Pad
from .lower_copy import IDENTITY, chunk
from .operation import Geometry, Operation, Sink, Window
from .views import View, dense_strides

__all__ = ["padded"]


def padded(
    task: Pad,
    part: int,
    source: View,
    shape: tuple[int, ...],
    sink: View,
    after: tuple[int, ...],
    axes: list[int],
    geometry: Geometry,
) -> list[Operation]:
    """Operations that pad ``axes`` (one, or an axis and the one before it) of a dense tensor.

    An output row is everything from the inner padded axis on; rows are counted by the axis before.
    """
    inner = axes[0]
    outer_axis = inner - 1
    unit = dense_strides(shape)[inner]
    width, wide = shape[inner] * unit, after[inner] * unit
    before = task.padding[inner][0] * unit
    above = task.padding[outer_axis][0] if len(axes) == 2 else 0
    height = shape[outer_axis] if inner > 0 else 1
    rows = after[outer_axis] if inner > 0 else 1
    blocks = int(np.prod(shape[: max(0, outer_axis)], dtype=np.int64))
    t = chunk(wide, geometry)
    pieces = [(0, t, wide // t)]
    if wide % t:
        pieces.append((wide - wide % t, wide % t, 1))
    result = []
    for block in range(blocks):
        for start, length, pixels in pieces:
            position = start - before
            window = Window(
                storage=source.storage,
                offset=source.offset + (block * height - above) * width + position,
                run=length,
                pixels=pixels,
                pixel_step=length,
                rows=rows,
                pitch=width,
                position=position,
                width=width,
                line=-above,
                height=height,
                pad=task.value,
            )
            result.append(
                Operation(
                    name=f"{task.name}_{part}_{len(result)}",
                    tasks=(task.name,),
                    window=window,
                    outputs=length,
                    weights=None,
                    bias=np.zeros(1, dtype=np.int64),
                    multiplier=np.array([IDENTITY[0]]),
                    shift=np.array([IDENTITY[1]]),
                    zero=0,
                    clamp=geometry.limits,
                    sink=Sink(
                        sink.storage,
                        sink.offset + block * rows * wide + start,
                        pixel=length,
                        row=wide - (pixels - 1) * length,
                        pixels=pixels,
                    ),
                )
            )
    return result
