"""Golden convolutions and products: exact sums, requantised as :mod:`gen.graph` says."""

import numpy as np

from gen.graph import Conv, ConvTranspose, Dot, Graph, MatMul, Multiply

from .golden_arithmetic import centred, exact_dot, rescale

__all__ = ["conv", "conv_transpose", "dot", "matmul", "multiply", "pad_image", "windows"]


def windows(
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """View a padded image (H, W, C) as windows (OH, OW, C, KH, KW)."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(0, 1))
    return view[:: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]


def pad_image(x: np.ndarray, padding: tuple[int, int, int, int], value: int) -> np.ndarray:
    """Rows and columns of ``value`` around an image (H, W, C): top, bottom, left, right."""
    top, bottom, left, right = padding
    return np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=value)


def conv(graph: Graph, task: Conv, x: np.ndarray) -> np.ndarray:
    image = pad_image(centred(graph, task, x)[0], task.padding, 0)
    outputs, height, width, _ = task.weights.shape
    view = windows(image, (height, width), task.stride, task.dilation)
    rows, columns = view.shape[:2]
    # (groups, pixels, taps) by (groups, taps, outputs of the group)
    taps = view.reshape(rows * columns, task.groups, -1).transpose(1, 0, 2)
    weights = task.weights.transpose(0, 3, 1, 2).reshape(task.groups, -1, taps.shape[2])
    accumulator = exact_dot(taps, weights.transpose(0, 2, 1)).transpose(1, 0, 2)
    return rescale(graph, task, accumulator.reshape(1, rows, columns, outputs) + task.bias)


def conv_transpose(graph: Graph, task: ConvTranspose, x: np.ndarray) -> np.ndarray:
    image = centred(graph, task, x)[0]
    outputs, height, width, _ = task.weights.shape
    (rows, columns, _), (down, right) = image.shape, task.stride
    spread = np.zeros(
        ((rows - 1) * down + height, (columns - 1) * right + width, outputs), np.int64
    )
    for ky, kx in np.ndindex(height, width):
        reached = spread[ky:, kx:][: rows * down : down, : columns * right : right]
        reached += exact_dot(image, task.weights[:, ky, kx].T)
    top, bottom, left, beyond = task.padding
    kept = spread[top : spread.shape[0] - bottom, left : spread.shape[1] - beyond]
    return rescale(graph, task, kept[np.newaxis] + task.bias)


def matmul(graph: Graph, task: MatMul, x: np.ndarray) -> np.ndarray:
    return rescale(graph, task, exact_dot(centred(graph, task, x), task.weights.T) + task.bias)


def dot(graph: Graph, task: Dot, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    right = centred(graph, task, b, 1)
    right = right.T if task.transpose_b else right
    return rescale(graph, task, exact_dot(centred(graph, task, a), right))


def multiply(graph: Graph, task: Multiply, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return rescale(graph, task, centred(graph, task, a) * centred(graph, task, b, 1))
