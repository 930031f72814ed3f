"""Tables of TensorFlow Lite's int8 activation functions.

Each function evaluates, for the 256 values of an int8, the integer arithmetic of the reference
kernels of TensorFlow Lite (Micro), so that a lookup is bit-identical to the kernel. Quantisation of
input and output is given as ``(scale, zero_point)``; each result is int8 (256,), indexed by the
input plus 128. A quantisation that the kernel refuses raises :class:`ValueError`.
"""

import math

import numpy as np

from ..quantise import (
    INT8_MAX,
    INT8_MIN,
    activation_range,
    add_parameters,
    float_table,
    input_radius,
    quantise_multiplier,
    requantise,
)

__all__ = [
    "abs_table",
    "add_table",
    "elu_table",
    "gelu_table",
    "hard_swish_table",
    "leaky_relu_table",
    "logistic_table",
    "mul_table",
    "neg_table",
    "prelu_table",
    "relu6_table",
    "relu_table",
    "tanh_table",
]

Quantisation = tuple[float, int]

_INT8 = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
_ONE = 2**31 - 1  # 1.0 with no integer bits, as near as int32 comes to it


def _int8(x: np.ndarray) -> np.ndarray:
    return np.clip(x, INT8_MIN, INT8_MAX).astype(np.int8)


def _f32(x: float) -> float:
    return float(np.float32(x))


def relu_table(i: Quantisation, o: Quantisation) -> np.ndarray:
    """Requantise, then clamp at zero (``ReluQuantized``)."""
    y = requantise(_INT8 - i[1], *quantise_multiplier(i[0] / o[0])) + o[1]
    return _int8(np.maximum(y, o[1]))


def relu6_table(i: Quantisation) -> np.ndarray:
    """Clamp to [0, 6] on raw integers: the kernel takes input and output to share a scale."""
    return _int8(np.clip(_INT8, *activation_range("relu6", *i)))


def leaky_relu_table(i: Quantisation, o: Quantisation, alpha: float) -> np.ndarray:
    """``x`` or ``alpha * x`` by two multipliers, computed in float32 (``QuantizeLeakyRelu``)."""
    si, so = np.float32(i[0]), np.float32(o[0])
    x = _INT8 - i[1]
    identity = requantise(x, *quantise_multiplier(float(si / so)))
    slope = requantise(x, *quantise_multiplier(float(si * np.float32(alpha) / so)))
    return _int8(np.where(x >= 0, identity, slope) + o[1])


def prelu_table(i: Quantisation, o: Quantisation, slope: Quantisation, alpha: int) -> np.ndarray:
    """PRELU whose ``alpha`` is one int8 of quantisation ``slope``."""
    x = _INT8 - i[1]
    identity = requantise(x, *quantise_multiplier(i[0] / o[0]))
    sloped = requantise(x * (alpha - slope[1]), *quantise_multiplier(i[0] * slope[0] / o[0]))
    return _int8(np.where(x >= 0, identity, sloped) + o[1])


def abs_table(i: Quantisation, o: Quantisation) -> np.ndarray:
    """Magnitude, requantised."""
    return _int8(requantise(np.abs(_INT8 - i[1]), *quantise_multiplier(i[0] / o[0])) + o[1])


def neg_table(i: Quantisation, o: Quantisation) -> np.ndarray:
    """Negation, requantised. TensorFlow Lite has no int8 kernel to compare with."""
    return _int8(requantise(i[1] - _INT8, *quantise_multiplier(i[0] / o[0])) + o[1])


def elu_table(i: Quantisation, o: Quantisation) -> np.ndarray:
    """``x`` or ``exp(x) - 1``; TensorFlow Lite, too, fills a table from float32."""
    return float_table(lambda x: x if x >= 0 else _f32(math.exp(x)) - 1, *i, *o)


def gelu_table(i: Quantisation, o: Quantisation, approximate: bool) -> np.ndarray:
    """GELU, exact or by tanh; TensorFlow Lite, too, fills a table from float32."""

    def exact(x: float) -> float:
        return 0.5 * x * math.erfc(-x * math.sqrt(0.5))

    def by_tanh(x: float) -> float:
        return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    return float_table(by_tanh if approximate else exact, *i, *o)


def add_table(
    i: Quantisation,
    o: Quantisation,
    constant: Quantisation,
    value: int,
    clamp: tuple[int, int],
    signs: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """``signs[0] * x + signs[1] * value``: ADD or SUB with a constant of one element."""
    rescale_x, rescale_value, rescale_out = add_parameters(i[0], constant[0], o[0])
    x = requantise((_INT8 - i[1]) << 20, *rescale_x)
    c = requantise(np.array(value - constant[1]) << 20, *rescale_value)
    return _int8(np.clip(requantise(signs[0] * x + signs[1] * c, *rescale_out) + o[1], *clamp))


def mul_table(
    i: Quantisation, o: Quantisation, constant: Quantisation, value: int, clamp: tuple[int, int]
) -> np.ndarray:
    """``x * value``: MUL with a constant of one element."""
    product = (_INT8 - i[1]) * (value - constant[1])
    y = requantise(product, *quantise_multiplier(i[0] * constant[0] / o[0]))
    return _int8(np.clip(y + o[1], *clamp))


def _divide_by_power(x: np.ndarray, exponent: int) -> np.ndarray:
    """gemmlowp's ``RoundingDivideByPOT``: halves away from zero."""
    return np.sign(x) * ((np.abs(x) + ((1 << exponent) >> 1)) >> exponent)


def _high_mul(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """gemmlowp's ``SaturatingRoundingDoublingHighMul`` for operands that are not both -2**31."""
    return (a * b + 2**30) >> 31


def _shift_left(x: np.ndarray, bits: int, width: int = 32) -> np.ndarray:
    return np.clip(x << bits, -(2 ** (width - 1)), 2 ** (width - 1) - 1)


def _exp_negative(x: np.ndarray, integer_bits: int) -> np.ndarray:
    """``exp(x)`` for ``x <= 0`` with ``integer_bits``, as Q0.31 (``exp_on_negative_values``)."""
    quarter = 1 << (29 - integer_bits)
    part = (x & (quarter - 1)) - quarter
    a = _shift_left(part, integer_bits) + (1 << 28)
    a2 = _high_mul(a, a)
    a3, a4 = _high_mul(a2, a), _high_mul(a2, a2)
    third = _high_mul(_divide_by_power(a4, 2) + a3, 715827883)
    y = 1895147668 + _high_mul(a + _divide_by_power(third + a2, 1), 1895147668)
    # exp(-2**e) for each bit e that is set in the rest of x
    for e, factor in enumerate(
        (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242), start=-2
    ):
        if integer_bits > e:
            bit = ((part - x) >> (31 - integer_bits + e)) & 1
            y = np.where(bit == 1, _high_mul(y, factor), y)
    return np.where(x == 0, _ONE, y)


def _half_reciprocal(a: np.ndarray) -> np.ndarray:
    """``2 / (1 + a)`` in Q2.29 for ``a`` in [0, 1] in Q0.31, by three Newton-Raphson steps."""
    half = (a + _ONE + 1) >> 1
    x = 1515870810 + _high_mul(half, -1010580540)
    for _ in range(3):
        x = x + _shift_left(_high_mul(x, (1 << 29) - _high_mul(half, x)), 2)
    return x


def _q4(i: Quantisation) -> tuple[np.ndarray, np.ndarray]:
    """The 256 inputs in Q4.27, and those (-1, 0 or +1) beyond its range."""
    mantissa, shift = math.frexp(i[0] * 2**27)
    if not 0 <= shift <= 31:
        raise ValueError(f"its input scale must be between 2**-27 and 16, not {i[0]}")
    radius = input_radius(4, shift)
    x = _INT8 - i[1]
    beyond = np.where(x >= radius, 1, np.where(x <= -radius, -1, 0))
    inside = np.where(beyond == 0, x, 0)
    return requantise(inside, round(mantissa * 2**31), shift), beyond


def logistic_table(i: Quantisation, o: Quantisation) -> np.ndarray:
    """Logistic function by gemmlowp's fixed point; the output is fixed at (1/256, -128)."""
    if o != (1 / 256, -128):
        raise ValueError(f"its output must have scale 1/256 and zero point -128, not {o}")
    x, beyond = _q4(i)
    positive = _shift_left(_half_reciprocal(_exp_negative(-np.abs(x), 4)), 1)
    y = np.where(x > 0, positive, np.where(x < 0, _ONE - positive, 1 << 30))
    y = _divide_by_power(y, 31 - 8) - 128
    return _int8(np.where(beyond == 0, y, beyond * 128))


def tanh_table(i: Quantisation, o: Quantisation) -> np.ndarray:
    """Hyperbolic tangent by gemmlowp's fixed point; the output is fixed at (1/128, 0)."""
    if o != (1 / 128, 0):
        raise ValueError(f"its output must have scale 1/128 and zero point 0, not {o}")
    x, beyond = _q4(i)
    # exp(-2 |x|): the same raw integers under one more integer bit
    inverse = _half_reciprocal(_exp_negative(-np.abs(x), 5))
    magnitude = _shift_left(inverse - (1 << 29), 2)
    y = _divide_by_power(np.sign(x) * magnitude, 31 - 7)
    return _int8(np.where(beyond == 0, y, beyond * 128))


def hard_swish_table(i: Quantisation, o: Quantisation) -> np.ndarray:
    """``x * relu6(x + 3) / 6`` in 16-bit fixed point."""

    def narrow(real: np.float32) -> tuple[int, int]:
        multiplier, shift = quantise_multiplier(float(real))
        return min((multiplier + (1 << 15)) >> 16, 2**15 - 1), shift

    def high_mul(a: np.ndarray, b: int) -> np.ndarray:
        return (a * b + (1 << 14)) >> 15

    hires = np.float32(1 / 128) * np.float32(i[0])
    out_factor, out_shift = narrow(hires / np.float32(o[0]))
    relu_factor, relu_shift = narrow(hires / (np.float32(3) / np.float32(32768)))
    if out_shift > 0:
        raise ValueError(f"its output scale {o[0]} must not be so much finer than {i[0]}")
    x = (_INT8 - i[1]) << 7
    gate = x
    if relu_shift > 0:
        gate = _shift_left(gate, min(relu_shift - 1, 31), 16)
    gate = high_mul(gate, relu_factor)
    if relu_shift > 0:
        gate = _shift_left(gate, 1, 16)
    gate = (_divide_by_power(gate, max(-relu_shift, 0)) + (1 << 15)) >> 1
    product = gate * high_mul(x, out_factor)
    # the kernel divides in C here, which truncates, where elsewhere it rounds
    y = np.sign(product) * (np.abs(product) >> 15)
    return _int8(_divide_by_power(y, -out_shift) + o[1])
