"""Lowering of what only moves elements, or changes them one by one."""

from dataclasses import replace

import numpy as np

from .operation import Geometry, Operation, Residual, Sink, Window
from .views import View

__all__ = ["IDENTITY", "chunk", "copies", "merged"]

IDENTITY = (1 << 30, 1)
"""Multiplier and shift under which requantisation changes nothing."""


def chunk(size: int, geometry: Geometry, *, divide: bool = False) -> int:
    """Elements that one pixel of a copy takes so that ``size`` of them take the fewest cycles.

    With ``divide``, only divisors of ``size``.
    """
    window = geometry.depth + 1

    def cycles(t: int) -> int:
        return -(-size // t) * max(1, -(-t // geometry.lanes), -(-t // window))

    most = min(geometry.cols, geometry.depth, size)
    sizes = [t for t in range(1, most + 1) if not divide or size % t == 0]
    return min(sizes, key=lambda t: (cycles(t), size % t, -t))


def merged(shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> tuple[list, list]:
    """Shape and per-view strides with neighbouring dimensions joined where every view allows."""
    dims: list[int] = []
    steps: list[list[int]] = []
    for axis, n in enumerate(shape):
        here = [s[axis] for s in strides]
        if n == 1:
            continue
        if dims and all(a == b * n for a, b in zip(steps[-1], here, strict=True)):
            dims[-1] *= n
            steps[-1] = here
        else:
            dims.append(n)
            steps.append(here)
    if not dims:
        return [1], [[1] * len(strides)]
    return dims, steps


def copies(
    name: str,
    tasks: tuple[str, ...],
    source: View,
    sink: View,
    geometry: Geometry,
    *,
    table: np.ndarray | None = None,
    second: View | None = None,
    addition: Residual | None = None,
    even: bool | None = None,
    softmax: tuple[int, np.ndarray] | None = None,
    fraction_bits: int = 0,
) -> list[Operation]:
    """Operations that move ``source`` to ``sink``, element by element.

    ``second`` and ``addition`` add another tensor, rounding as ``even`` says, or multiply by it.
    ``softmax`` is (row length, table), ``fraction_bits`` those of its int16. Where ``source`` has a
    stride of 0, its elements are read again.
    """
    parts = [source.strides, sink.strides] + ([second.strides] if second else [])
    dims, steps = merged(source.shape, parts)
    if steps[-1][1] != 1 or (second is not None and steps[-1][2] != 1):
        dims, steps = [*dims, 1], [*steps, [1] * len(parts)]
    size = dims[-1]
    t = chunk(size, geometry)
    per_row = 0
    if softmax is not None:
        t = chunk(softmax[0], geometry, divide=True)
        per_row = softmax[0] // t
    whole = size // t
    pieces = [(0, t, whole)] if whole else []
    if size % t:
        pieces.append((whole * t, size % t, 1))

    rows = dims[-2] if len(dims) > 1 else 1
    row_steps = steps[-2] if len(dims) > 1 else [size] * len(parts)
    outer = dims[:-2]
    result = []
    for index in np.ndindex(*outer) if outer else [()]:
        offsets = [
            sum(i * step[part] for i, step in zip(index, steps, strict=False))
            for part in range(len(parts))
        ]
        for start, length, pixels in pieces:
            stride = steps[-1][0]
            contiguous = stride == 1
            pixel_step = length * stride
            extent = pixel_step * pixels
            window = Window(
                storage=source.storage,
                offset=source.offset + offsets[0] + start * stride,
                run=length if contiguous else 1,
                taps=1 if contiguous else length,
                tap_step=0 if contiguous else stride,
                pixels=pixels,
                pixel_step=pixel_step,
                rows=rows,
                pitch=row_steps[0],
                width=max(1, extent),
                height=rows,
            )

            def place(view: View, part: int) -> Sink:
                return Sink(
                    storage=view.storage,
                    offset=view.offset + offsets[part] + start,  # noqa: B023
                    pixel=length,  # noqa: B023
                    row=row_steps[part] - (pixels - 1) * length,  # noqa: B023
                    pixels=pixels,  # noqa: B023
                )

            residual = None
            if second is not None and addition is not None:
                residual = replace(addition, place=place(second, 2))
            result.append(
                Operation(
                    name=name if not result else f"{name}_part{len(result)}",
                    tasks=tasks,
                    window=window,
                    outputs=length,
                    weights=None,
                    bias=np.zeros(1, dtype=np.int64),
                    multiplier=np.array([IDENTITY[0]]),
                    shift=np.array([IDENTITY[1]]),
                    zero=0,
                    clamp=geometry.limits,
                    sink=place(sink, 1),
                    even=even,
                    residual=residual,
                    table=table,
                    softmax=None if softmax is None else (per_row, softmax[1]),
                    fraction_bits=fraction_bits,
                )
            )
    return result
