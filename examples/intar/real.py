"""The kernels' operations in float64, written from their definitions; images are (1, H, W, C)."""

import numpy as np

__all__ = ["conv", "conv_transpose", "max_pool", "mean", "product", "silu", "softmax", "upsample"]

_COLUMNS = 1024
"""Of a large matrix at a time."""


def product(x: np.ndarray, weights: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """``x @ (weights * scale).T`` of integer weights (N, K) with scales (N,)."""
    blocks = [
        x @ (weights[i : i + _COLUMNS] * scale[i : i + _COLUMNS, np.newaxis]).T
        for i in range(0, len(weights), _COLUMNS)
    ]
    return np.concatenate(blocks, axis=-1)


def conv(
    x: np.ndarray,
    weights: np.ndarray,
    stride: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    depthwise: bool = False,
) -> np.ndarray:
    """Convolution by (O, KH, KW, C), or by (C, KH, KW, 1) of each channel for itself."""
    top, bottom, left, right = padding
    padded = np.pad(x[0], ((top, bottom), (left, right), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[1:3], axis=(0, 1))
    view = view[::stride, ::stride]
    if depthwise:
        return np.einsum("hwcyx,cyx->hwc", view, weights[..., 0])[np.newaxis]
    return np.tensordot(view, weights, axes=((3, 4, 2), (1, 2, 3)))[np.newaxis]


def conv_transpose(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Transposed convolution, stride 1: the convolution of a wide border by flipped kernels."""
    _, height, width, _ = weights.shape
    border = (height - 1, height - 1, width - 1, width - 1)
    return conv(x, weights[:, ::-1, ::-1], padding=border)


def upsample(x: np.ndarray) -> np.ndarray:
    """Every pixel as 2 x 2."""
    return np.kron(x, np.ones((1, 2, 2, 1)))


def max_pool(x: np.ndarray) -> np.ndarray:
    """Maxima of 2 x 2 pixels side by side."""
    corners = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return np.maximum.reduce(corners)


def mean(x: np.ndarray) -> np.ndarray:
    """Of all pixels: (1, 1, 1, C)."""
    return x.mean(axis=(1, 2), keepdims=True)


def softmax(x: np.ndarray) -> np.ndarray:
    """Of rows."""
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return power / power.sum(axis=-1, keepdims=True)


def silu(x: np.ndarray) -> np.ndarray:
    """``x / (1 + exp(-x))``."""
    return x / (1 + np.exp(-x))
