"""Golden semantics: what every task of a graph computes, in exact NumPy integers.

One function per kind of task, written from the task's docstring in :mod:`gen.graph` and from
TensorFlow Lite's reference kernels, and sharing no arithmetic with the compiler or the hardware.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gen.errors import UserError
from gen.graph import (
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Dot,
    Graph,
    Interpolate,
    Lookup,
    MatMul,
    Multiply,
    Pad,
    Pool,
    Reshape,
    RowSoftmax,
    Slice,
    Softmax,
    Task,
    Tensor,
    Transpose,
    Upsample,
)

from . import golden_products as products
from .golden_arithmetic import centred, divided_even, finish, requantise, requantise_even
from .golden_rowsoftmax import row_softmax
from .golden_softmax import softmax

__all__ = ["run", "run_task"]


def run(graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute every tensor of a graph.

    Parameters
    ----------
    graph
        A graph for which ``check()`` holds.
    inputs
        An array of the tensor's shape and type for each input of the graph, by name. Several
        images are several calls.

    Returns
    -------
    dict
        int8 or int16 arrays by tensor name: the inputs and the result of each task.

    Raises
    ------
    UserError
        If an input is missing, unknown, or has another shape or type.
    """
    for name in inputs:
        if name not in graph.inputs:
            raise UserError(
                f"'{name}' is not an input of graph '{graph.name}'; "
                f"its inputs are {', '.join(graph.inputs)}"
            )
    values = {name: _input(graph.tensors[name], inputs) for name in graph.inputs}
    for task in graph.tasks:
        values[task.output] = run_task(graph, task, [values[name] for name in task.inputs])
    return values


def run_task(graph: Graph, task: Task, operands: list[np.ndarray]) -> np.ndarray:
    """Compute one task of ``graph`` from its operands, in the order of ``task.inputs``."""
    result = _KINDS[type(task)](graph, task, *operands)
    tensor = graph.tensors[task.output]
    if result.shape != tensor.shape:
        raise UserError(
            f"task '{task.name}' computes shape {result.shape}, "
            f"but its output '{task.output}' is declared as {tensor.shape}"
        )
    return result.astype(tensor.dtype)


def _input(tensor: Tensor, inputs: dict[str, np.ndarray]) -> np.ndarray:
    if tensor.name not in inputs:
        raise UserError(
            f"input '{tensor.name}' is missing; pass an {tensor.dtype} array {tensor.shape}"
        )
    value = np.asarray(inputs[tensor.name])
    if value.dtype != tensor.dtype:
        raise UserError(f"input '{tensor.name}' must be {tensor.dtype}, not {value.dtype}")
    if value.shape != tensor.shape:
        raise UserError(f"input '{tensor.name}' must have shape {tensor.shape}, not {value.shape}")
    return value


def _pool(graph: Graph, task: Pool, x: np.ndarray) -> np.ndarray:
    image = x[0].astype(np.int64)
    if task.mode == "max":
        lowest = graph.tensors[task.output].limits[0]
        image = products.pad_image(image, task.padding, lowest)
        result = products.windows(image, task.kernel, task.stride, (1, 1)).max(axis=(3, 4))
    else:
        inside = products.pad_image(np.ones_like(image[..., :1]), task.padding, 0)
        count = products.windows(inside, task.kernel, task.stride, (1, 1)).sum(axis=(3, 4))
        zero = graph.tensors[task.inputs[0]].zero_point if task.even else 0
        image = products.pad_image(image - zero, task.padding, 0)
        total = products.windows(image, task.kernel, task.stride, (1, 1)).sum(axis=(3, 4))
        if task.even:
            result = divided_even(total, count) + zero
        else:
            result = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return np.clip(result, *task.clamp)[np.newaxis]


def _add(graph: Graph, task: Add, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a = requantise(centred(graph, task, a, 0) << 20, *task.rescale_a)
    b = requantise(centred(graph, task, b, 1) << 20, *task.rescale_b)
    scaled = (requantise_even if task.even else requantise)(a + b, *task.rescale_out)
    return finish(graph, task, scaled)


def _lookup(graph: Graph, task: Lookup, x: np.ndarray) -> np.ndarray:
    return task.table[x.astype(np.int64) + 128]


def _interpolate(graph: Graph, task: Interpolate, x: np.ndarray) -> np.ndarray:
    whole, rest = np.divmod(x.astype(np.int64) + 32768, 256)
    table = task.table.astype(np.int64)
    return (table[whole] * 256 + (table[whole + 1] - table[whole]) * rest + 128) >> 8


def _upsample(graph: Graph, task: Upsample, x: np.ndarray) -> np.ndarray:
    return x.repeat(task.factor, axis=1).repeat(task.factor, axis=2)


def _pad(graph: Graph, task: Pad, x: np.ndarray) -> np.ndarray:
    return np.pad(x, task.padding, constant_values=task.value)


def _concat(graph: Graph, task: Concat, *operands: np.ndarray) -> np.ndarray:
    return np.concatenate(operands, axis=task.axis)


def _reshape(graph: Graph, task: Reshape, x: np.ndarray) -> np.ndarray:
    return x.reshape(graph.tensors[task.output].shape)


def _transpose(graph: Graph, task: Transpose, x: np.ndarray) -> np.ndarray:
    return x.transpose(task.permutation)


def _slice(graph: Graph, task: Slice, x: np.ndarray) -> np.ndarray:
    shape = graph.tensors[task.output].shape
    axes = zip(task.start, shape, task.step, strict=True)
    return x[tuple(slice(start, start + size * step, step) for start, size, step in axes)]


_KINDS: dict[type[Task], Callable[..., Any]] = {
    Add: _add,
    Concat: _concat,
    Conv: products.conv,
    ConvTranspose: products.conv_transpose,
    Dot: products.dot,
    Interpolate: _interpolate,
    Lookup: _lookup,
    MatMul: products.matmul,
    Multiply: products.multiply,
    Pad: _pad,
    Pool: _pool,
    Reshape: _reshape,
    RowSoftmax: row_softmax,
    Slice: _slice,
    Softmax: softmax,
    Transpose: _transpose,
    Upsample: _upsample,
}
