"""Tasks that multiply or add: convolutions, products of matrices and of elements, sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .task import Task, Tensor, require, require_image, windowed

if TYPE_CHECKING:
    from .graph import Graph

__all__ = [
    "EQUAL_SCALES",
    "INT16_MULTIPLIER",
    "Add",
    "Conv",
    "ConvTranspose",
    "Dot",
    "MatMul",
    "Multiply",
]

INT16_MULTIPLIER = 1 << 30
"""Of every int16 requantisation; with it, shift ``1 - s`` drops ``s`` bits."""

EQUAL_SCALES = ((INT16_MULTIPLIER, 0), (INT16_MULTIPLIER, 0), (INT16_MULTIPLIER, -18))
"""``rescale_a``, ``rescale_b`` and ``rescale_out`` of an :class:`Add` that only adds and clamps."""


@dataclass(frozen=True, eq=False)
class Conv(Task):
    """2-D convolution of (1, H, W, C) to (1, OH, OW, O); depthwise where ``groups == C``.

    ``acc[o] = bias[o] + sum(weights[o, ky, kx, c] * (x[iy, ix, c] - zero_point_in))``, out-of-range
    taps counting as zero; then requantisation by ``(multiplier[o], shift[o])``, plus the output's
    zero point, clamped to ``clamp``. Output channel ``o`` belongs to group ``o // (O // groups)``.
    A 1-D convolution is one with H = 1.

    ``weights`` is int16 (O, KH, KW, C / groups), with int8 activations any zero point already
    subtracted, so in [-255, 255]; ``bias`` int32 (O,), ``multiplier`` int32 (O,), ``shift`` int8
    (O,).
    ``stride`` and ``dilation`` are (y, x); ``padding`` is (top, bottom, left, right).
    ``even`` says how requantisation rounds, see :mod:`gen.graph`.
    """

    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    clamp: tuple[int, int] = (-128, 127)
    even: bool = False

    kind = "conv"

    def macs(self, graph: "Graph") -> int:
        return graph.tensors[self.output].size * int(np.prod(self.weights.shape[1:]))

    def weight_bytes(self, graph: "Graph") -> int:
        return _weight_bytes(graph, self)

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        require(self.weights.ndim == 4, "its weights must be (O, KH, KW, C / groups)")
        outputs, *kernel, inputs = self.weights.shape
        rows, columns = windowed(x, kernel, self.stride, self.dilation, self.padding)
        require(
            x.shape[3] == inputs * self.groups and outputs % self.groups == 0,
            f"its weights {self.weights.shape} in {self.groups} groups do not suit "
            f"'{x.name}' {x.shape}",
        )
        return 1, rows, columns, outputs

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        _require_scales(self, result)


@dataclass(frozen=True, eq=False)
class ConvTranspose(Task):
    """Transposed convolution of (1, H, W, C): each input pixel adds a scaled kernel to the result.

    ``acc[iy * sy + ky - top, ix * sx + kx - left, o] += weights[o, ky, kx, c] * (x[iy, ix, c] -
    zero_point_in)``, sums outside the result dropped, ``bias[o]`` added everywhere; then as
    :class:`Conv`. The result has ``(H - 1) * sy + KH - top - bottom`` rows, columns likewise.

    ``weights`` is int16 (O, KH, KW, C); ``bias``, ``multiplier``, ``shift`` as in :class:`Conv`.
    ``stride`` is (y, x); ``padding`` is (top, bottom, left, right).
    """

    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    clamp: tuple[int, int] = (-128, 127)

    kind = "conv_transpose"

    def macs(self, graph: "Graph") -> int:
        return graph.tensors[self.inputs[0]].size * int(np.prod(self.weights.shape[:3]))

    def weight_bytes(self, graph: "Graph") -> int:
        return _weight_bytes(graph, self)

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        require_image(x)
        require(self.weights.ndim == 4, "its weights must be (O, KH, KW, C)")
        outputs, height, width, inputs = self.weights.shape
        require(
            x.shape[3] == inputs,
            f"its weights {self.weights.shape} do not suit '{x.name}' {x.shape}",
        )
        top, bottom, left, right = self.padding
        rows = (x.shape[1] - 1) * self.stride[0] + height - top - bottom
        columns = (x.shape[2] - 1) * self.stride[1] + width - left - right
        require(rows > 0 and columns > 0, f"its padding {self.padding} leaves nothing")
        return 1, rows, columns, outputs

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        _require_scales(self, result)


@dataclass(frozen=True, eq=False)
class MatMul(Task):
    """Constant-weight product (..., K) to (..., N): fully connected, Gemm, MatMul.

    Arithmetic as :class:`Conv`; ``weights`` int16 (N, K), ``bias``, ``multiplier``, ``shift`` (N,).
    """

    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    clamp: tuple[int, int] = (-128, 127)
    even: bool = False

    kind = "matmul"

    def macs(self, graph: "Graph") -> int:
        return graph.tensors[self.output].size * self.weights.shape[1]

    def weight_bytes(self, graph: "Graph") -> int:
        return _weight_bytes(graph, self)

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        require(
            self.weights.ndim == 2 and x.shape[-1] == self.weights.shape[1],
            f"its weights {self.weights.shape} (N, K) do not suit '{x.name}' {x.shape}",
        )
        return *x.shape[:-1], self.weights.shape[0]

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        _require_scales(self, result)


@dataclass(frozen=True, eq=False)
class Dot(Task):
    """Product of two activation tensors: (M, K) by (K, N), or by the transpose of (N, K).

    ``acc[m, n] = sum((a[m, k] - zero_point_a) * (b[k, n] - zero_point_b))``, with ``b[n, k]`` if
    ``transpose_b``; then ``(acc * multiplier + 2**(30 - shift)) >> (31 - shift)`` plus the output's
    zero point, clamped: rounded once. ``multiplier`` and ``shift`` serve all elements.
    """

    multiplier: int
    shift: int
    transpose_b: bool = False
    clamp: tuple[int, int] = (-128, 127)

    kind = "dot"
    operands = 2

    def macs(self, graph: "Graph") -> int:
        return graph.tensors[self.output].size * graph.tensors[self.inputs[0]].shape[-1]

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        a, b = operands
        require(
            len(a.shape) == len(b.shape) == 2
            and a.shape[1] == b.shape[1 if self.transpose_b else 0],
            f"'{a.name}' {a.shape} cannot be multiplied by "
            f"{'the transpose of ' if self.transpose_b else ''}'{b.name}' {b.shape}",
        )
        return a.shape[0], b.shape[0 if self.transpose_b else 1]

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        if result.bits == 16:
            _require_shift(self.multiplier, self.shift)


@dataclass(frozen=True, eq=False)
class Multiply(Task):
    """Element-wise product of equal shapes, or of an image of one channel with every channel.

    ``acc = (a - zero_point_a) * (b - zero_point_b)``; then as :class:`Dot`. So, for int16 and
    ``shift = 1 - s``: ``y = clamp((a * b + 2**(s - 1)) >> s)``.
    """

    multiplier: int
    shift: int
    clamp: tuple[int, int] = (-128, 127)

    kind = "multiply"
    operands = 2

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        a, b = operands
        return _broadcast(a, b)

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        if result.bits == 16:
            _require_shift(self.multiplier, self.shift)


@dataclass(frozen=True, eq=False)
class Add(Task):
    """Sum of two tensors, each with its own scale, as TensorFlow Lite's ADD.

    ``a' = requantise((a - zero_point_a) << 20, *rescale_a)``, ``b'`` likewise, then
    ``requantise(a' + b', *rescale_out)`` plus the output's zero point, clamped. The three pairs are
    (multiplier, shift) with shift <= 0; ``even`` concerns the last alone. int16 tensors have one
    scale, and the pairs are ``EQUAL_SCALES``, with which all of this is exactly ``clamp(a + b)``.

    Both have equal shapes, or at 16 bits are images one of which has a single channel that is added
    to every channel.
    """

    rescale_a: tuple[int, int]
    rescale_b: tuple[int, int]
    rescale_out: tuple[int, int]
    clamp: tuple[int, int] = (-128, 127)
    even: bool = False

    kind = "add"
    operands = 2

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        a, b = operands
        require(
            a.bits == 16 or a.shape == b.shape,
            f"'{a.name}' {a.shape} and '{b.name}' {b.shape} must have equal shapes",
        )
        return _broadcast(a, b)

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        scales = [tensor.scale for tensor in (*operands, result)]
        rescales = (self.rescale_a, self.rescale_b, self.rescale_out)
        require(
            result.bits == 8 or (len({*scales}) == 1 and rescales == EQUAL_SCALES),
            f"int16 tensors are added on one scale, not {', '.join(map(str, scales))}",
        )


def _weight_bytes(graph: "Graph", task: Conv | MatMul | ConvTranspose) -> int:
    return task.weights.size * graph.tensors[task.output].bits // 8 + 4 * task.bias.size


def _require_scales(task: "Conv | MatMul | ConvTranspose", result: Tensor) -> None:
    """One bias, multiplier and shift per output channel; at 16 bits, shift and saturate."""
    count = len(task.weights)
    for name in ("bias", "multiplier", "shift"):
        shape = getattr(task, name).shape
        require(shape == (count,), f"its {name} has shape {shape}, not ({count},)")
    if result.bits == 16:
        _require_shift(task.multiplier, task.shift)


def _require_shift(multiplier: np.ndarray | int, shift: np.ndarray | int) -> None:
    require(
        bool(np.all(np.equal(multiplier, INT16_MULTIPLIER)))
        and bool(np.all(np.less_equal(shift, 1) & np.greater_equal(shift, -31))),
        "int16 is requantised with multiplier 2**30 and shifts from -31 to 1",
    )


def _broadcast(a: Tensor, b: Tensor) -> tuple[int, ...]:
    """Shape of an element-wise result: equal shapes, or an image of one channel with any image."""
    if a.shape == b.shape:
        return a.shape
    images = len(a.shape) == len(b.shape) == 4 and a.shape[:3] == b.shape[:3]
    require(
        images and 1 in (a.shape[3], b.shape[3]),
        f"'{a.name}' {a.shape} and '{b.name}' {b.shape} must have equal shapes, or be images one "
        "of which has a single channel",
    )
    return max(a.shape, b.shape)
