"""From real scales to the integers of a :class:`~gen.graph.Graph`.

Pure functions that every frontend shares. They follow TensorFlow Lite's ``quantization_util.cc``
and ``kernel_util.cc`` to the last bit, with scales taken as float32 where those do, because a
multiplier that is off by one changes results. Bad arguments raise :class:`ValueError`; the
frontend, which knows the node's name, turns that into a :class:`~gen.errors.UserError`.
"""

import math
from collections.abc import Callable

import numpy as np

__all__ = [
    "INT8_MAX",
    "INT8_MIN",
    "activation_range",
    "add_parameters",
    "float_table",
    "input_radius",
    "mean_multiplier",
    "quantise_multiplier",
    "requantise",
    "requantise_table",
    "round_half_away",
    "softmax_parameters",
]

INT8_MIN, INT8_MAX = -128, 127

ADD_LEFT_SHIFT = 20
SOFTMAX_INTEGER_BITS = 5

_ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "none": (None, None),
    "relu": (0.0, None),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


def round_half_away(x: float) -> int:
    """Round to the nearest integer, halves away from zero, as C's ``round``."""
    whole = math.floor(abs(x))
    return int(math.copysign(whole + (abs(x) - whole >= 0.5), x))


def _limit(x: float) -> float:
    """Far outside int8, yet finite, so that rounding an infinity works."""
    return min(max(x, -1e6), 1e6)


def quantise_multiplier(real: float) -> tuple[int, int]:
    """Express ``real`` as ``multiplier * 2**(shift - 31)``.

    TensorFlow Lite's ``QuantizeMultiplier``: a real too small for a shift of -31 becomes (0, 0),
    one too large for a shift of 30 saturates.

    Parameters
    ----------
    real
        A finite number. Graphs hold multipliers of non-negative reals only; a negative one gives a
        negative multiplier, for use in tables.

    Returns
    -------
    multiplier, shift
        ``2**30 <= abs(multiplier) < 2**31``, or 0; ``-31 <= shift <= 30``.

    Raises
    ------
    ValueError
        If ``real`` is infinite or not a number.
    """
    if not math.isfinite(real):
        raise ValueError(f"a requantisation factor must be finite, not {real}")
    if real == 0:
        return 0, 0
    mantissa, shift = math.frexp(abs(real))
    multiplier = round_half_away(mantissa * 2**31)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        multiplier, shift = 2**31 - 1, 30
    return (multiplier if real > 0 else -multiplier), shift


def requantise(x: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """Multiply integers by ``(multiplier, shift)`` with the double rounding of :mod:`gen.graph`.

    Parameters
    ----------
    x
        Integers of any shape, such that ``x << shift`` fits 32 bits.

    Returns
    -------
    np.ndarray
        int64, of the same shape.
    """
    left, right = max(shift, 0), max(-shift, 0)
    high = ((x.astype(np.int64) << left) * multiplier + 2**30) >> 31
    half = (1 << right) >> 1
    return np.sign(high) * ((np.abs(high) + half) >> right)


def activation_range(activation: str, scale: float, zero_point: int) -> tuple[int, int]:
    """Clamp that a fused activation puts on an int8 output.

    Source: ``CalculateActivationRangeQuantized``, which divides in float32.

    Parameters
    ----------
    activation
        ``"none"``, ``"relu"``, ``"relu6"`` or ``"relu_n1_to_1"``.
    scale, zero_point
        Of the output tensor.

    Raises
    ------
    ValueError
        If the activation is none of these.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"a fused activation must be one of {', '.join(_ACTIVATIONS)}, not {activation!r}"
        )

    def quantised(bound: float) -> int:
        with np.errstate(over="ignore"):
            steps = float(np.float32(bound) / np.float32(scale))
        return zero_point + round_half_away(_limit(steps))

    low, high = _ACTIVATIONS[activation]
    return (
        INT8_MIN if low is None else max(INT8_MIN, quantised(low)),
        INT8_MAX if high is None else min(INT8_MAX, quantised(high)),
    )


def add_parameters(
    scale_a: float, scale_b: float, scale_out: float
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """``rescale_a``, ``rescale_b`` and ``rescale_out`` of :class:`~gen.graph.Add`.

    Both inputs are brought, with 20 extra bits, to twice the larger input scale.

    Raises
    ------
    ValueError
        If the output scale is too fine, by a factor of 2**19, for the larger input scale.
    """
    twice_max = 2 * max(scale_a, scale_b)
    rescale_out = quantise_multiplier(twice_max / (2**ADD_LEFT_SHIFT * scale_out))
    if rescale_out[1] > 0:
        raise ValueError(
            f"an output scale of {scale_out} must not be so much finer than the input scales "
            f"{scale_a} and {scale_b}"
        )
    return (
        quantise_multiplier(scale_a / twice_max),
        quantise_multiplier(scale_b / twice_max),
        rescale_out,
    )


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Largest magnitude that fits ``integer_bits`` after rescaling (``CalculateInputRadius``)."""
    return (((1 << integer_bits) - 1) << (31 - integer_bits)) >> left_shift


def softmax_parameters(input_scale: float, beta: float = 1.0) -> tuple[int, int, int]:
    """``multiplier``, ``left_shift`` and ``diff_min`` of :class:`~gen.graph.Softmax`.

    Source: ``PreprocessSoftmaxScaling`` and ``CalculateInputRadius`` with 5 integer bits.

    Raises
    ------
    ValueError
        If ``beta * input_scale`` is not greater than 2**-26, below which all outputs are equal.
    """
    real = min(beta * input_scale * 2 ** (31 - SOFTMAX_INTEGER_BITS), 2**31 - 1.0)
    if not real > 1:
        raise ValueError(f"softmax needs an input scale greater than 2**-26, not {input_scale}")
    # Not through quantise_multiplier: the capped factor keeps its shift of 31.
    mantissa, left_shift = math.frexp(real)
    multiplier = round_half_away(mantissa * 2**31)
    if multiplier == 2**31:
        multiplier, left_shift = 2**30, left_shift + 1
    return multiplier, left_shift, -input_radius(SOFTMAX_INTEGER_BITS, left_shift)


def mean_multiplier(scale_in: float, scale_out: float, count: int) -> tuple[int, int]:
    """Factor that turns a sum of ``count`` integers into their mean on the output's scale.

    ``QuantizedMeanOrSum``: the factor of the two scales is divided by ``count`` afterwards and
    truncated, so it is not ``quantise_multiplier(scale_in / scale_out / count)``.
    """
    multiplier, shift = quantise_multiplier(scale_in / scale_out)
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def requantise_table(
    scale_in: float, zero_point_in: int, scale_out: float, zero_point_out: int
) -> np.ndarray:
    """Table (256,) int8 that moves an int8 tensor to another scale and zero point."""
    x = np.arange(INT8_MIN, INT8_MAX + 1) - zero_point_in
    y = requantise(x, *quantise_multiplier(scale_in / scale_out)) + zero_point_out
    return np.clip(y, INT8_MIN, INT8_MAX).astype(np.int8)


def float_table(
    function: Callable[[float], float],
    scale_in: float,
    zero_point_in: int,
    scale_out: float,
    zero_point_out: int,
) -> np.ndarray:
    """Table (256,) int8 of a real function, rounded half away from zero in float32.

    TensorFlow Lite's ``LUTPopulate``. ``function`` is called with Python floats and may return an
    infinity, which saturates, but not a NaN.
    """
    inverse = np.float32(1) / np.float32(scale_out)
    table = np.empty(256, np.int8)
    for q in range(INT8_MIN, INT8_MAX + 1):
        x = np.float32(scale_in) * np.float32(q - zero_point_in)
        with np.errstate(over="ignore"):
            y = float(np.float32(function(float(x))) * inverse)
        y = round_half_away(_limit(y)) + zero_point_out
        table[q + 128] = min(max(y, INT8_MIN), INT8_MAX)
    return table
