"""Integer arithmetic that the golden tasks share: exact products, and the ways of rounding."""

import numpy as np

from gen.graph import Add, Conv, ConvTranspose, Dot, Graph, MatMul, Multiply, Task

__all__ = [
    "centred",
    "divided_even",
    "exact_dot",
    "finish",
    "requantise",
    "requantise_even",
    "rescale",
    "round_once",
    "shift_right",
]

_COLUMNS = 1024
"""Of a matrix in float64 at a time, so that large weights need little memory."""


def exact_dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int64 matrix product of integers.

    In float64 sums stay exact below 2**53, which 2**22 products of int16 cannot exceed, and the
    product runs in BLAS.
    """
    left = a.astype(np.float64)
    blocks = [
        np.matmul(left, b[..., first : first + _COLUMNS].astype(np.float64)).astype(np.int64)
        for first in range(0, b.shape[-1], _COLUMNS)
    ]
    return np.concatenate(blocks, axis=-1)


def centred(graph: Graph, task: Task, x: np.ndarray, operand: int = 0) -> np.ndarray:
    """An operand in int64, less its zero point."""
    return x.astype(np.int64) - graph.tensors[task.inputs[operand]].zero_point


def requantise(x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """Scale int64 accumulators by ``multiplier * 2**(shift - 31)``, rounding twice.

    ``MultiplyByQuantizedMultiplier`` as in :mod:`gen.graph`; ``multiplier`` and ``shift`` broadcast
    against the last dimension of ``x``.
    """
    shift = np.asarray(shift, np.int64)
    return shift_right(round_once(x, multiplier, np.maximum(shift, 0)), np.maximum(-shift, 0))


def requantise_even(
    x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int
) -> np.ndarray:
    """As :func:`requantise`, with 12 bits more before the second rounding, halves to even."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    product = np.left_shift(x, left) * np.asarray(multiplier, np.int64)
    return divided_even((product + (1 << 18)) >> 19, np.left_shift(np.int64(4096), right))


def divided_even(x: np.ndarray, divisor: np.ndarray | int) -> np.ndarray:
    """``x / divisor`` to the nearest integer, halves to even."""
    whole, rest = np.divmod(x, divisor)
    return whole + ((2 * rest > divisor) | ((2 * rest == divisor) & (whole % 2 == 1)))


def round_once(x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """Scale int64 accumulators by ``multiplier * 2**(shift - 31)``, halves rounded up.

    Powers of two are taken out of the multiplier first: that changes no result, and with a
    multiplier of ``2**30`` no accumulator is too wide for int64.
    """
    factor = np.asarray(multiplier, np.int64)
    twos = np.maximum(np.frexp((factor & -factor).astype(np.float64))[1] - 1, 0).astype(np.int64)
    dropped = 31 - np.asarray(shift, np.int64) - twos
    product = np.left_shift(x * (factor >> twos), np.maximum(-dropped, 0))
    dropped = np.maximum(dropped, 0)
    return (product + (np.left_shift(np.int64(1), dropped) >> 1)) >> dropped


def shift_right(x: np.ndarray, bits: np.ndarray | int) -> np.ndarray:
    """Divide by ``2**bits``, rounded half away from zero (``RoundingDivideByPOT``)."""
    mask = np.left_shift(np.int64(1), bits) - 1
    return (x >> bits) + ((x & mask) > (mask >> 1) + (x < 0))


def rescale(
    graph: Graph, task: Conv | ConvTranspose | MatMul | Dot | Multiply, accumulator: np.ndarray
) -> np.ndarray:
    """The result of ``task`` from its accumulators: requantised, moved and clamped."""
    rounding = requantise
    if isinstance(task, Dot | Multiply) or graph.tensors[task.output].bits == 16:
        rounding = round_once
    elif isinstance(task, Conv | MatMul) and task.even:
        rounding = requantise_even
    return finish(graph, task, rounding(accumulator, task.multiplier, task.shift))


def finish(
    graph: Graph, task: Conv | ConvTranspose | MatMul | Dot | Multiply | Add, x: np.ndarray
) -> np.ndarray:
    """Output zero point and clamp."""
    return np.clip(x + graph.tensors[task.output].zero_point, *task.clamp)
