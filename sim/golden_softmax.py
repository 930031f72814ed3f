"""Golden softmax of int8, as TensorFlow Lite's integer reference.

Fixed point after gemmlowp: "Qm.n" is an int32 with m integer and n fractional bits.
"""

import numpy as np

from gen.graph import Graph, Softmax

from .golden_arithmetic import shift_right

__all__ = ["softmax"]


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
    series = _product(shift_right(t4, 2) + t3, 715827883)  # 1/3
    series = t + shift_right(series + t2, 1)
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


def softmax(graph: Graph, task: Softmax, x: np.ndarray) -> np.ndarray:
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    counts = difference >= task.diff_min
    difference = np.where(counts, difference, 0)
    power = _exp(_product(difference << task.left_shift, task.multiplier))
    total = np.sum(shift_right(power, 12), axis=-1, keepdims=True, where=counts)
    scale, bits = _reciprocal(total)
    y = shift_right(_product(power, scale), bits + 31 - 8) - 128
    return np.where(counts, np.clip(y, -128, 127), -128)
