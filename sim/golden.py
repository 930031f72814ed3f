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
    Graph,
    Lookup,
    MatMul,
    Pad,
    Pool,
    Reshape,
    Slice,
    Softmax,
    Task,
    Tensor,
    Transpose,
)

__all__ = ["requantise", "run", "run_task"]


def run(graph: Graph, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute every tensor of a graph.

    Parameters
    ----------
    graph
        A graph for which ``check()`` holds.
    inputs
        An int8 array of the tensor's shape for each input of the graph, by name. Several images
        are several calls.

    Returns
    -------
    dict
        int8 arrays by tensor name: the inputs and the result of each task.

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
    """Compute one task of ``graph`` from its int8 operands, in the order of ``task.inputs``."""
    result = _KINDS[type(task)](graph, task, *operands)
    shape = graph.tensors[task.output].shape
    if result.shape != shape:
        raise UserError(
            f"task '{task.name}' computes shape {result.shape}, "
            f"but its output '{task.output}' is declared as {shape}"
        )
    return result.astype(np.int8)


def requantise(x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """Scale int64 accumulators by ``multiplier * 2**(shift - 31)``, rounding twice.

    ``MultiplyByQuantizedMultiplier`` as in :mod:`gen.graph`; ``multiplier`` and ``shift`` broadcast
    against the last dimension of ``x``.
    """
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    product = np.left_shift(x, left) * np.asarray(multiplier, np.int64)
    return _shift_right((product + (1 << 30)) >> 31, right)


def _input(tensor: Tensor, inputs: dict[str, np.ndarray]) -> np.ndarray:
    if tensor.name not in inputs:
        raise UserError(f"input '{tensor.name}' is missing; pass an int8 array {tensor.shape}")
    value = np.asarray(inputs[tensor.name])
    if value.dtype != np.int8:
        raise UserError(f"input '{tensor.name}' must be int8, not {value.dtype}")
    if value.shape != tensor.shape:
        raise UserError(f"input '{tensor.name}' must have shape {tensor.shape}, not {value.shape}")
    return value


def _shift_right(x: np.ndarray, bits: np.ndarray | int) -> np.ndarray:
    """Divide by ``2**bits``, rounded half away from zero (``RoundingDivideByPOT``)."""
    mask = np.left_shift(np.int64(1), bits) - 1
    return (x >> bits) + ((x & mask) > (mask >> 1) + (x < 0))


def _finish(graph: Graph, task: Conv | MatMul | Add, x: np.ndarray) -> np.ndarray:
    """Output zero point and clamp."""
    return np.clip(x + graph.tensors[task.output].zero_point, *task.clamp)


def _centred(graph: Graph, task: Task, x: np.ndarray, operand: int = 0) -> np.ndarray:
    return x.astype(np.int64) - graph.tensors[task.inputs[operand]].zero_point


def _windows(
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """View a padded image (H, W, C) as windows (OH, OW, C, KH, KW)."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(0, 1))
    return view[:: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]


def _pad_image(x: np.ndarray, padding: tuple[int, int, int, int], value: int) -> np.ndarray:
    top, bottom, left, right = padding
    return np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=value)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # In float64 the sums stay exact, far below 2**53, and the product runs in BLAS.
    return np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)


def _conv(graph: Graph, task: Conv, x: np.ndarray) -> np.ndarray:
    image = _pad_image(_centred(graph, task, x)[0], task.padding, 0)
    outputs, height, width, _ = task.weights.shape
    view = _windows(image, (height, width), task.stride, task.dilation)
    rows, columns = view.shape[:2]
    # (groups, pixels, taps) by (groups, taps, outputs of the group)
    taps = view.reshape(rows * columns, task.groups, -1).transpose(1, 0, 2)
    weights = task.weights.transpose(0, 3, 1, 2).reshape(task.groups, -1, taps.shape[2])
    accumulator = _dot(taps, weights.transpose(0, 2, 1)).transpose(1, 0, 2)
    accumulator = accumulator.reshape(1, rows, columns, outputs) + task.bias
    return _finish(graph, task, requantise(accumulator, task.multiplier, task.shift))


def _matmul(graph: Graph, task: MatMul, x: np.ndarray) -> np.ndarray:
    accumulator = _dot(_centred(graph, task, x), task.weights.T) + task.bias
    return _finish(graph, task, requantise(accumulator, task.multiplier, task.shift))


def _pool(graph: Graph, task: Pool, x: np.ndarray) -> np.ndarray:
    image = x[0].astype(np.int64)
    if task.mode == "max":
        image = _pad_image(image, task.padding, -128)
        result = _windows(image, task.kernel, task.stride, (1, 1)).max(axis=(3, 4))
    else:
        inside = _pad_image(np.ones_like(image[..., :1]), task.padding, 0)
        count = _windows(inside, task.kernel, task.stride, (1, 1)).sum(axis=(3, 4))
        image = _pad_image(image, task.padding, 0)
        total = _windows(image, task.kernel, task.stride, (1, 1)).sum(axis=(3, 4))
        result = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return np.clip(result, *task.clamp)[np.newaxis]


def _add(graph: Graph, task: Add, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a = requantise(_centred(graph, task, a, 0) << 20, *task.rescale_a)
    b = requantise(_centred(graph, task, b, 1) << 20, *task.rescale_b)
    return _finish(graph, task, requantise(a + b, *task.rescale_out))


def _lookup(graph: Graph, task: Lookup, x: np.ndarray) -> np.ndarray:
    return task.table[x.astype(np.int64) + 128]


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


# Fixed point after gemmlowp: "Qm.n" is an int32 with m integer and n fractional bits.


def _product(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """Rounding high half of ``2 * a * b``: Q0.31 by Qm.n gives Qm.n."""
    return (a * b + (1 << 30)) >> 31


def _saturate(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(1 << 31), (1 << 31) - 1)


def _exp(x: np.ndarray) -> np.ndarray:
    """``exp(x)`` in Q0.31 of ``x <= 0`` in Q5.26 (``exp_on_negative_values``).

    Taylor's series about -1/8 for the part in [-1/4, 0), then one constant factor for each bit of
    the whole quarters.
    """
    quarter = 1 << 24
    fraction = (x % quarter) - quarter
    t = (fraction << 5) + (1 << 28)
    t2 = _product(t, t)
    t3 = _product(t2, t)
    t4 = _product(t2, t2)
    series = _product(_shift_right(t4, 2) + t3, 715827883)  # 1/3
    series = t + _shift_right(series + t2, 1)
    result = 1895147668 + _product(series, 1895147668)  # exp(-1/8)
    quarters = (fraction - x) >> 24
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for bit, factor in enumerate(factors):  # exp(-1/4), exp(-1/2), ... exp(-16)
        result = np.where((quarters >> bit) & 1, _product(result, factor), result)
    return np.where(x == 0, (1 << 31) - 1, result)


def _reciprocal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``1 / x`` of ``x >= 1`` in Q12.19: a mantissa in Q0.31 and the number of bits above one.

    ``GetReciprocal`` and ``one_over_one_plus_x_for_x_in_0_1``: three steps of Newton-Raphson from
    ``48/17 - 32/17 * d``, in Q2.29.
    """
    leading_zeros = 32 - np.frexp(x.astype(np.float64))[1].astype(np.int64)
    fraction = (x << leading_zeros) - (1 << 31)
    half = (fraction + (1 << 31)) >> 1
    estimate = 1515870810 + _product(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - _product(half, estimate)
        estimate = estimate + _saturate(_product(estimate, error) << 2)
    return _saturate(estimate << 1), 12 - leading_zeros


def _softmax(graph: Graph, task: Softmax, x: np.ndarray) -> np.ndarray:
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    counts = difference >= task.diff_min
    difference = np.where(counts, difference, 0)
    power = _exp(_product(difference << task.left_shift, task.multiplier))
    total = np.sum(_shift_right(power, 12), axis=-1, keepdims=True, where=counts)
    scale, bits = _reciprocal(total)
    y = _shift_right(_product(power, scale), bits + 31 - 8) - 128
    return np.where(counts, np.clip(y, -128, 127), -128)


_KINDS: dict[type[Task], Callable[..., Any]] = {
    Add: _add,
    Concat: _concat,
    Conv: _conv,
    Lookup: _lookup,
    MatMul: _matmul,
    Pad: _pad,
    Pool: _pool,
    Reshape: _reshape,
    Slice: _slice,
    Softmax: _softmax,
    Transpose: _transpose,
}
