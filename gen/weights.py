"""Real or integer weights and biases, as the integers of a :class:`~gen.graph.Graph`."""

import numpy as np

from .fixed_point import largest_fraction

__all__ = ["quantise_bias", "quantise_weights"]


def quantise_weights(
    weights: np.ndarray, bits: int, scale: np.ndarray | float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights as integers of ``bits`` bits, and their scales.

    Parameters
    ----------
    weights
        (O, ...), real or integer.
    scale
        Of the weights: one, or one per output (O,). None lets real weights fill their type: with
        one scale per output at 8 bits, with one power of two for all at 16.

    Returns
    -------
    integers, scales
        int16 of the shape of ``weights``, contiguous; float64 (O,). Real weights are rounded to the
        nearest integer, halves to even, and saturate at plus and minus ``2**(bits - 1) - 1``.

    Raises
    ------
    ValueError
        If shapes do not suit, values are not finite, or integers have no scale or do not fit
        ``bits`` bits.
    """
    if weights.ndim < 2:
        raise ValueError(f"its weights have shape {weights.shape}, not one row per output")
    if weights.dtype.kind == "f" and not np.isfinite(weights).all():
        raise ValueError("its weights hold NaN or infinite values")
    if scale is None:
        scale = _filling(weights, bits)
    scales = np.asarray(scale, np.float64)
    if scales.shape not in ((), (len(weights),)):
        raise ValueError(f"its weight scales have shape {scales.shape}, not ({len(weights)},)")
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise ValueError("its weight scales must be finite and greater than zero")
    scales = np.broadcast_to(scales, (len(weights),))
    return _integers(weights, bits, scales), scales


def _filling(weights: np.ndarray, bits: int) -> np.ndarray | float:
    if weights.dtype.kind != "f":
        raise ValueError("integer weights need weight_fraction_bits or weight_scale")
    if bits == 16:
        return 2.0 ** -largest_fraction(float(np.abs(weights).max()))
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    return np.where(largest > 0, largest, 1.0) / 127


def _integers(weights: np.ndarray, bits: int, scales: np.ndarray) -> np.ndarray:
    limit = (1 << (bits - 1)) - 1
    if weights.dtype.kind == "f":
        steps = np.rint(weights / scales.reshape(-1, *(1,) * (weights.ndim - 1)))
        return np.ascontiguousarray(np.clip(steps, -limit, limit).astype(np.int16))
    if weights.dtype.kind not in "iu":
        raise ValueError(f"its weights must be real or integer, not {weights.dtype}")
    low, high = int(weights.min()), int(weights.max())
    if low < -limit - 1 or high > limit:
        raise ValueError(f"its weights reach from {low} to {high}, outside int{bits}")
    return np.ascontiguousarray(weights.astype(np.int16, copy=False))


def quantise_bias(bias: np.ndarray | None, scales: np.ndarray) -> np.ndarray:
    """int32 (O,) of a bias, real or already at the ``scales`` (O,) of the products; None is zero.

    Raises
    ------
    ValueError
        If its shape does not suit, or it needs more than 32 bits.
    """
    if bias is None:
        return np.zeros(len(scales), np.int32)
    values = np.asarray(bias)
    if values.shape != scales.shape:
        raise ValueError(f"its bias has shape {values.shape}, not {scales.shape}")
    if values.dtype.kind == "f":
        values = np.rint(values / scales)
    if np.abs(values).max() >= 1 << 31:
        raise ValueError(
            "its bias needs more than 32 bits at the scale of its products; give its weights "
            "fewer fraction bits"
        )
    return values.astype(np.int32)
