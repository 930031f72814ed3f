"""Lowering of products of two computed matrices: one of them becomes weights.

The right operand is written in the order of weight words, leaves for off-chip memory when it is
complete, and comes back as weights.
"""

from dataclasses import replace

import numpy as np

from .errors import UserError
from .graph import Dot
from .lower_copy import copies
from .operation import Geometry, Operation, Sink, Window
from .views import View

__all__ = ["copied_factor", "dot", "factor_name", "factor_sink", "factor_size"]

WORST = np.int16(-(1 << 15))
"""What any weight may be, for all that is known when accumulators get their width."""


def factor_name(task: Dot) -> str:
    """The storage of the right operand in the order of weight words."""
    return f"{task.name}.weights"


def factor_size(outputs: int, size: int, geometry: Geometry) -> int:
    """Elements of the weights of ``outputs`` sums of ``size`` products, the last pass padded."""
    return -(-outputs // geometry.cols) * geometry.cols * size


def require_shallow(task: Dot, geometry: Geometry) -> None:
    """Raise :class:`UserError` unless a weight word is one row of the right operand's block."""
    if geometry.depth != 1 or (task.transpose_b and geometry.lanes != 1):
        raise UserError(
            f"task '{task.name}' multiplies two computed matrices, which needs an array of depth 1"
            f"{' with one lane' if task.transpose_b else ''}, not "
            f"{geometry.rows}x{geometry.cols}x{geometry.depth} with {geometry.lanes}"
        )


def factor_sink(task: Dot, shape: tuple[int, ...], geometry: Geometry) -> Sink:
    """Where a product writes the right operand, of ``shape``, row by row: element (n, k), or (k, n)
    unless transposed, is column ``n % cols`` of word ``k`` of pass ``n // cols``."""
    cols, name = geometry.cols, factor_name(task)
    rows, width = shape
    if not task.transpose_b:
        return Sink(name, 0, row=cols, pass_step=rows * cols)
    # A row is a column of the block; its elements lie one word apart.
    onward = width * cols - (cols - 1)
    return Sink(name, 0, 1, onward, cols, group_step=cols, pass_step=cols * cols)


def copied_factor(task: Dot, source: View, geometry: Geometry) -> list[Operation]:
    """The right operand brought into the order of weight words."""
    cols, result = geometry.cols, []
    view = source
    if not task.transpose_b:
        view = View(source.storage, source.offset, source.shape[::-1], source.strides[::-1])
    outputs, size = view.shape
    for first in range(0, outputs, cols):
        count = min(cols, outputs - first)
        offset = view.offset + first * view.strides[0]
        part = View(view.storage, offset, (size, count), view.strides[::-1])
        sink = View(factor_name(task), first * size, (size, count), (cols, 1))
        name = f"{task.name}_weights{first // cols}"
        result += copies(name, (task.name,), part, sink, geometry)
    return result


def dot(
    task: Dot, left: View, sink: View, outputs: int, geometry: Geometry, softmax: int | None
) -> Operation:
    """The product itself; with ``softmax``, the fraction bits of the rows that it softmaxes."""
    vectors, size = left.shape
    operation = Operation(
        name=task.name,
        tasks=(task.name,),
        window=Window(
            storage=left.storage,
            offset=left.offset,
            run=size,
            rows=vectors,
            pitch=size,
            width=size,
            height=vectors,
        ),
        outputs=outputs,
        weights=np.broadcast_to(WORST, (outputs, size)),
        factor=factor_name(task),
        bias=np.zeros(1, dtype=np.int64),
        multiplier=np.array([task.multiplier]),
        shift=np.array([task.shift]),
        zero=0,
        clamp=task.clamp,
        sink=Sink(sink.storage, sink.offset, row=outputs),
        even=False,
        macs=vectors * outputs * size,
    )
    if softmax is None:
        return operation
    rows = (1, np.empty(0, np.int64))
    return replace(operation, softmax=rows, fraction_bits=softmax)
