"""int16 fixed point: weights, and tables of real functions for :class:`~gen.graph.Interpolate`.

A fixed-point number with ``f`` fraction bits is an int16 of scale ``2**-f``; ``f`` may be negative
or exceed 15.
"""

import math
from collections.abc import Callable

import numpy as np

__all__ = ["FUNCTIONS", "fraction_bits", "interpolation_table", "largest_fraction", "quantise"]

SEGMENT = 256
"""Input steps between two points of a table."""

LIMITS = (-32768, 32767)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "tanh": math.tanh,
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "exp_half": lambda x: math.exp(x / 2),
}
"""By name. Largest magnitudes of the second derivatives: sigmoid 0.0963, silu 0.5, tanh 0.770, gelu
0.798, and exp_half a quarter of its value at the segment's end."""


def interpolation_table(
    function: Callable[[float], float], scale_in: float, scale_out: float
) -> np.ndarray:
    """Table int16 (257,) of a real function, its points rounded to nearest and saturated.

    Where no point of a segment saturates, the result differs from the real function by at most
    ``scale_out + (256 * scale_in)**2 / 8 * c``, ``c`` being the largest magnitude of the function's
    second derivative in the segment: half a step by rounding the points, half a step by rounding
    between them, and the deviation of a chord.

    Parameters
    ----------
    function
        Takes and returns Python floats; an infinity saturates.
    scale_in, scale_out
        Real size of a step of the input and of the result.
    """
    points = [function((256 * i + LIMITS[0]) * scale_in) / scale_out for i in range(257)]
    return np.clip(np.rint(points), *LIMITS).astype(np.int16)


def fraction_bits(scale: float) -> int:
    """``f`` of a scale ``2**-f``.

    Raises
    ------
    ValueError
        If the scale is no power of two.
    """
    mantissa, exponent = math.frexp(scale)
    if mantissa != 0.5:
        raise ValueError(f"{scale} is no power of two")
    return 1 - exponent


def largest_fraction(bound: float) -> int:
    """Most fraction bits with which magnitudes up to ``bound`` do not saturate an int16."""
    if not bound > 0:
        return 15
    found = 15 - math.frexp(bound)[1]
    return found if np.rint(math.ldexp(bound, found)) <= LIMITS[1] else found - 1


def quantise(real: np.ndarray, fraction: int) -> np.ndarray:
    """int16 with ``fraction`` bits, of the same shape; halves go to even, saturated."""
    return np.clip(np.rint(np.ldexp(real, fraction)), *LIMITS).astype(np.int16)
