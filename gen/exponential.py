"""The exponential of TensorFlow Lite's integer softmax, tabulated over all differences."""

import numpy as np

__all__ = ["exponential_table"]

_ONE = (1 << 31) - 1


def _multiply(a: int, b: int) -> int:
    """Rounding doubling high half of a 32-bit product."""
    return (a * b + (1 << 30)) >> 31


def _divide(x: int, exponent: int) -> int:
    """``x / 2**exponent`` rounded half away from zero."""
    half = (1 << exponent) >> 1
    return (x + half) >> exponent if x >= 0 else -((-x + half) >> exponent)


def _exponential(a: int) -> int:
    """exp(a) in Q0.31 of a non-positive Q5.26, by gemmlowp's ``exp_on_negative_values``."""
    quarter = 1 << 24
    remainder = (a & (quarter - 1)) - quarter
    # exp on [-1/4, 0) about -1/8, by a quartic; argument in Q0.31.
    x = (remainder << 5) + (1 << 28)
    x2 = _multiply(x, x)
    x3, x4 = _multiply(x2, x), _multiply(x2, x2)
    series = _divide(_multiply(_divide(x4, 2) + x3, 715827883) + x2, 1)
    result = 1895147668 + _multiply(1895147668, x + series)
    factors = (
        1672461947,
        1302514674,
        790015084,
        290630308,
        39332535,
        720401,
        242,
    )
    for bit, factor in enumerate(factors):
        if (remainder - a) & (1 << (24 + bit)):
            result = _multiply(result, factor)
    return _ONE if a == 0 else result


def exponential_table(multiplier: int, left_shift: int, diff_min: int) -> np.ndarray:
    """uint32 (256,): entry d is exp of the difference -d in Q0.31, zero below ``diff_min``."""
    table = np.zeros(256, dtype=np.uint32)
    for difference in range(256):
        if -difference >= diff_min:
            scaled = _multiply(-difference << left_shift, multiplier)
            table[difference] = _exponential(scaled)
    return table
