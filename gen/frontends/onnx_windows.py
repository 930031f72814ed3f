"""ONNX operators over windows of an image: convolution, pooling and means."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..graph import Conv, Pool, Slice
from ..quantise import quantise_multiplier
from .arrangement import Arrangement
from .builder import Activation, Builder, Quantisation
from .onnx_file import Node
from .onnx_quantisation import (
    Handlers,
    all_axes,
    bias_of,
    listed,
    quantisation,
    scaled,
    scaled_weights,
    sized,
)
from .onnx_shapes import rearranged, reshaped, transposed
from .onnx_values import Deferred, Linear, Model, Pointwise, Real, Value, Weights, dequantised

__all__ = ["HANDLERS", "channels_last"]

HANDLERS = Handlers()

_EVEN_TAPS = 2048
"""Of averages over more, a 32-bit multiplier cannot tell all halves."""


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution or pooling in two dimensions; fields as in Conv."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]
    image: tuple[int, int, int, int]
    out: tuple[int, int]

    @property
    def padded(self) -> bool:
        return any(self.padding)


def _window(node: Node, shape: tuple[int, ...], kernel: tuple[int, ...] | None) -> Window:
    """Geometry over the file's ``shape`` (1, C, H, W) or (1, C, W)."""
    spatial = len(shape) - 2
    if spatial not in (1, 2):
        raise node.error(
            f"its input has shape {shape}; only (1, C, H, W) and (1, C, W) are supported"
        )
    if shape[0] != 1:
        raise node.error(f"its batch is {shape[0]}; export the model with a batch of 1")
    kernel = node.integers("kernel_shape", kernel)
    ones = (1,) * spatial
    stride = node.integers("strides", ones) or ones
    dilation = node.integers("dilations", ones) or ones
    pads = node.integers("pads", (0,) * 2 * spatial) or (0,) * 2 * spatial
    lengths = (len(kernel or ()), len(stride), len(dilation), len(pads) / 2)
    if kernel is None or any(n != spatial for n in lengths):
        raise node.error(f"kernel, strides, dilations and pads must suit {spatial} dimensions")
    if min(kernel) < 1 or min(stride) < 1 or min(dilation) < 1 or min(pads) < 0:
        raise node.error("kernel, strides and dilations must be positive, pads not negative")
    auto = node.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", ""):
        raise node.error(f"auto_pad '{auto}' is not known")
    sides: list[tuple[int, int]] = []
    out: list[int] = []
    for i, size in enumerate(shape[2:]):
        reach = (kernel[i] - 1) * dilation[i] + 1
        before, after = pads[i], pads[i + spatial]
        if auto == "VALID":
            before = after = 0
        elif auto.startswith("SAME"):
            total = max((-(-size // stride[i]) - 1) * stride[i] + reach - size, 0)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            after = total - before
        room = size + before + after - reach
        count = room // stride[i] + 1
        if node.integer("ceil_mode", 0) and room % stride[i] and count * stride[i] < size + before:
            after += stride[i] - room % stride[i]
            count += 1
        if room < 0:
            raise node.error(f"its kernel spans {reach}, more than the padded input of {shape}")
        sides.append((before, after))
        out.append(count)
    if spatial == 1:
        sides.insert(0, (0, 0))
    height, width = (1, *shape[2:])[-2:]
    return Window(
        _pair(kernel),
        _pair(stride),
        _pair(dilation),
        (*sides[0], *sides[1]),
        (1, height, width, shape[1]),
        _pair(out),
    )


def _pair(n: Sequence[int]) -> tuple[int, int]:
    """Lengths along one or two axes as (y, x)."""
    return (n[0], n[1]) if len(n) == 2 else (1, n[0])


def channels_last(rank: int) -> tuple[int, ...]:
    return (0, *range(2, rank), 1)


def _image(b: Builder, x: Activation, image: tuple[int, ...]) -> str:
    """``x`` as a tensor (1, H, W, C), H being 1 where the file has one spatial axis."""
    return b.by_axes(x, channels_last(len(x.shape)), image)


def _from_image(
    tensor: str, channels: int, window: Window, rank: int, to: Quantisation
) -> Activation:
    shape = (1, channels, *window.out[4 - rank :])
    return Activation(tensor, Arrangement.of(shape, channels_last(rank)), to)


def _convolution(model: Model, node: Node, x: Activation, w: Weights, bias: np.ndarray) -> Linear:
    q = w.integers
    rank = len(x.shape)
    if q.ndim != rank:
        raise node.error(f"weights of shape {q.shape} do not suit an input of {x.shape}")
    window = _window(node, x.shape, q.shape[2:])
    groups = node.integer("group", 1)
    if groups < 1 or q.shape[0] % groups or q.shape[1] * groups != x.shape[1]:
        raise node.error(
            f"weights of shape {q.shape} and {groups} groups do not suit {x.shape[1]} channels"
        )
    if window.kernel != (1,) * (4 - rank) + q.shape[2:]:
        raise node.error(f"kernel_shape {window.kernel} is not that of the weights {q.shape}")
    outputs = q.shape[0]
    sized(node, (1, *window.out, outputs))
    if w.scale.size > 1 and w.scale.shape[0] != outputs:
        raise node.error("its weights must be quantised per tensor or per output channel (axis 0)")
    q = q.reshape(outputs, q.shape[1], *window.kernel).transpose(0, 2, 3, 1)

    def emit(b: Builder, to: Quantisation, fields: dict[str, Any]) -> Activation:
        tensor = b.emit(
            Conv,
            node.name,
            (_image(b, x, window.image),),
            (1, *window.out, outputs),
            to,
            stride=window.stride,
            dilation=window.dilation,
            padding=window.padding,
            groups=groups,
            **fields,
        )
        return _from_image(tensor, outputs, window, rank, to)

    return Linear(
        name=node.name,
        shape=(1, outputs, *window.out[4 - rank :]),
        node=node,
        source=x,
        weights=q,
        scale=np.broadcast_to(w.scale.ravel(), outputs),
        bias=bias_of(node, bias, outputs),
        axis=1,
        emit=emit,
    )


@HANDLERS.of("Conv")
def _conv(model: Model, node: Node) -> Value:
    bias = model.constant(node, 2)
    x, w = model.held(node, 0), model.weights(node, 1)
    return _convolution(model, node, x, w, np.zeros(1) if bias is None else bias)


@HANDLERS.of("QLinearConv")
def _qlinear_conv(model: Model, node: Node) -> Value:
    x, w = scaled(model, node, 0).source, scaled_weights(model, node, 3, 0)
    unit = x.quantisation.scale * w.scale.ravel()
    bias = model.constant(node, 8)
    bias = np.zeros(1) if bias is None else bias * unit
    return model.quantise(_convolution(model, node, x, w, bias), quantisation(model, node, 6))


@HANDLERS.of("MaxPool", "GlobalMaxPool")
def _max_pool(model: Model, node: Node) -> Value:
    if len(node.outputs) > 1 and node.outputs[1]:
        raise node.error("its second output (indices) is not supported; remove it")
    x = model.real(node, 0)
    kernel = x.shape[2:] if node.op == "GlobalMaxPool" else None
    window = _window(node, x.shape, kernel)
    if window.dilation != (1, 1):
        raise node.error("dilated pooling is not supported; use dilations of 1")
    channels, rank = x.shape[1], len(x.shape)

    def move(b: Builder, y: Activation) -> Activation:
        tensor = b.emit(
            Pool,
            node.name,
            (_image(b, y, window.image),),
            (1, *window.out, channels),
            y.quantisation,
            mode="max",
            kernel=window.kernel,
            stride=window.stride,
            padding=window.padding,
        )
        return _from_image(tensor, channels, window, rank, y.quantisation)

    shape = sized(node, (1, channels, *window.out[4 - rank :]))
    return rearranged(node, x, shape, move, model.builder)


def _average(node: Node, x: Activation, window: Window, included: bool) -> Real:
    """Mean over windows of the image ``x``; padded taps count as zeros where ``included``.

    With the input's own scale this is a Pool. For another output scale, or counted padding, it is
    a depthwise Conv of ones, which rounds once; one for each part of the image whose windows have
    equally many taps.
    """
    channels, rank = window.image[3], len(x.shape)
    shape = (1, channels, *window.out[4 - rank :])

    def make(b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        source = _image(b, x, window.image)
        if to == x.quantisation and not (included and window.padded):
            tensor = b.emit(
                Pool,
                node.name,
                (source,),
                (1, *window.out, channels),
                to,
                mode="average",
                kernel=window.kernel,
                stride=window.stride,
                padding=window.padding,
                clamp=clamp,
                even=prod(window.kernel) <= _EVEN_TAPS,
            )
            return _from_image(tensor, channels, window, rank, to)
        rows = []
        for down in _strips(window, 0, included):
            parts = [
                _mean_part(b, node, source, window, (down, across), x.quantisation, to, clamp)
                for across in _strips(window, 1, included)
            ]
            rows.append(b.join(f"{node.name}_row", parts, 2, to))
        return _from_image(b.join(node.name, rows, 1, to), channels, window, rank, to)

    return Deferred(name=node.name, shape=shape, make=make, clamps=True)


@dataclass(frozen=True)
class Strip:
    """Outputs along one axis whose windows have ``taps`` taps: ``count`` of them.

    They read the inputs from ``start`` to ``stop`` with ``before`` and ``after`` padded.
    """

    count: int
    taps: int
    start: int
    stop: int
    before: int
    after: int


def _strips(window: Window, axis: int, included: bool) -> list[Strip]:
    size, kernel, stride = window.image[1 + axis], window.kernel[axis], window.stride[axis]
    before = window.padding[2 * axis]
    starts = [i * stride - before for i in range(window.out[axis])]
    taps = [kernel if included else min(s + kernel, size) - max(s, 0) for s in starts]
    strips: list[Strip] = []
    first = 0
    for i in range(1, len(starts) + 1):
        if i == len(starts) or taps[i] != taps[first]:
            low, high = starts[first], starts[i - 1] + kernel
            ends = max(low, 0), min(high, size)
            strips.append(Strip(i - first, taps[first], *ends, max(-low, 0), max(high - size, 0)))
            first = i
    return strips


def _mean_part(
    b: Builder,
    node: Node,
    source: str,
    window: Window,
    strips: tuple[Strip, Strip],
    q: Quantisation,
    to: Quantisation,
    clamp: tuple[int, int],
) -> str:
    channels = window.image[3]
    down, across = strips
    part = (1, down.stop - down.start, across.stop - across.start, channels)
    if part != window.image:
        start = (0, down.start, across.start, 0)
        source = b.emit(
            Slice, f"{node.name}_part", (source,), part, q, start=start, step=(1, 1, 1, 1)
        )
    multiplier, shift = quantise_multiplier(q.scale / (down.taps * across.taps) / to.scale)
    return b.emit(
        Conv,
        node.name,
        (source,),
        (1, down.count, across.count, channels),
        to,
        weights=np.ones((channels, *window.kernel, 1), np.int16),
        bias=np.zeros(channels, np.int32),
        multiplier=np.full(channels, multiplier, np.int32),
        shift=np.full(channels, shift, np.int8),
        stride=window.stride,
        padding=(down.before, down.after, across.before, across.after),
        groups=channels,
        clamp=clamp,
        even=True,
    )


def _average_pool_of(node: Node, x: Activation) -> Real:
    if node.integer("channels_last", 0):
        raise node.error("channels_last is not supported; export with channels first")
    whole = node.op in ("GlobalAveragePool", "QLinearGlobalAveragePool")
    window = _window(node, x.shape, x.shape[2:] if whole else None)
    if window.dilation != (1, 1):
        raise node.error("dilated pooling is not supported; use dilations of 1")
    included = bool(node.integer("count_include_pad", 0))
    if included and node.integer("ceil_mode", 0):
        raise node.error("ceil_mode with count_include_pad is not supported; pad explicitly")
    sized(node, (1, x.shape[1], *window.out))
    return _average(node, x, window, included)


@HANDLERS.of("AveragePool", "GlobalAveragePool")
def _average_pool(model: Model, node: Node) -> Value:
    return _average_pool_of(node, model.held(node, 0))


@HANDLERS.of("QLinearAveragePool", "QLinearGlobalAveragePool")
def _qlinear_average_pool(model: Model, node: Node) -> Value:
    x = scaled(model, node, 0).source
    return model.quantise(_average_pool_of(node, x), quantisation(model, node, 3))


@HANDLERS.of("ReduceMean")
def _reduce_mean(model: Model, node: Node) -> Value:
    return _mean_over(model, node, model.held(node, 0), listed(model, node, "axes", 1))


@HANDLERS.of("QLinearReduceMean")
def _qlinear_reduce_mean(model: Model, node: Node) -> Value:
    x = scaled(model, node, 0).source
    mean = _mean_over(model, node, x, node.integers("axes", None))
    return model.quantise(mean, quantisation(model, node, 3))


def _mean_over(model: Model, node: Node, x: Activation, axes: tuple[int, ...] | None) -> Real:
    rank = len(x.shape)
    if not axes and node.integer("noop_with_empty_axes", 0):
        return dequantised(node, x)
    axes = tuple(sorted(all_axes(node, axes or tuple(range(rank)), rank)))
    if axes != tuple(range(axes[0], axes[-1] + 1)):
        raise node.error(f"a mean over separate axes {axes} is not supported; use two nodes")
    kept = bool(node.integer("keepdims", 1))
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if kept or i not in axes)
    if rank in (3, 4) and x.shape[0] == 1 and axes == tuple(range(2, rank)):
        mean = _average(node, x, _whole(x.shape), False)
        return reshaped(model, node, mean, shape or (1,))
    rows, size = prod(x.shape[: axes[0]]), prod(x.shape[axes[0] : axes[-1] + 1])
    image = (1, rows, size, prod(x.shape) // rows // size)
    flat = reshaped(model, node, dequantised(node, x), image)
    flat = transposed(model, node, flat, (0, 3, 1, 2))
    assert isinstance(flat, Pointwise)
    window = replace(_whole(flat.shape), kernel=(1, size), out=(rows, 1))
    mean = transposed(model, node, _average(node, flat.source, window, False), (0, 2, 3, 1))
    return reshaped(model, node, mean, shape or (1,))


def _whole(shape: tuple[int, ...]) -> Window:
    """The window that spans an image of the file's ``shape``."""
    height, width = (1, *shape[2:])[-2:]
    image = (1, height, width, shape[1])
    return Window((height, width), (1, 1), (1, 1), (0, 0, 0, 0), image, (1, 1))
