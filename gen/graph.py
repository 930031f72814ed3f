"""Graph: integer tensors and the tasks that make them.

The graph is what every later stage and the golden model agree on. It is purely integer: a frontend
has turned each real scale into a multiplier and a shift, each activation function into a table or
a clamp. Task semantics are stated here in words and formulas; :mod:`sim.golden` computes them.

Requantisation of an accumulator ``x`` (int32) by ``(multiplier, shift)``, ``multiplier`` in
[0, 2**31) and ``shift`` in [-31, 30], is by default TensorFlow Lite's
``MultiplyByQuantizedMultiplier`` with double rounding:

    left, right = max(shift, 0), max(-shift, 0)
    t = floor(((x << left) * multiplier + 2**30) / 2**31)
    y = t / 2**right, rounded half away from zero

Where an int8 task is ``even``, it is what ONNX Runtime computes in float32, the nearest integer
with halves to even; 12 bits more are kept, so that what is a half but for the rounding of
``multiplier`` counts as one:

    t = floor(((x << left) * multiplier + 2**18) / 2**19)
    y = t / 2**(right + 12), rounded half to even

int16 tensors are fixed-point numbers: zero point 0, scale a power of two. Their accumulators are
exact, however wide, and are requantised by *shift and saturate*, which drops ``s`` bits:

    y = clamp((x + 2**(s - 1)) >> s), and clamp(x) for s = 0

That is a single rounding with multiplier ``2**30`` and shift ``1 - s``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from .errors import UserError

__all__ = [
    "Add",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dot",
    "Graph",
    "Interpolate",
    "Lookup",
    "MatMul",
    "Multiply",
    "Pad",
    "Pool",
    "Reshape",
    "RowSoftmax",
    "Slice",
    "Softmax",
    "Task",
    "Tensor",
    "Transpose",
    "Upsample",
]

INT16_MULTIPLIER = 1 << 30
"""Of every int16 requantisation; with it, shift ``1 - s`` drops ``s`` bits."""

EQUAL_SCALES = ((INT16_MULTIPLIER, 0), (INT16_MULTIPLIER, 0), (INT16_MULTIPLIER, -18))
"""``rescale_a``, ``rescale_b`` and ``rescale_out`` of an :class:`Add` that only adds and clamps."""


@dataclass(frozen=True)
class Tensor:
    """An activation tensor, row-major, last dimension contiguous; images are (1, H, W, C).

    Real value = ``scale * (q - zero_point)``, ``q`` of ``bits`` bits, 8 or 16. At 16 bits the zero
    point is 0 and the scale a power of two. A uint8 tensor of a model file is held as
    ``q - 128`` with its zero point moved likewise; ``offset`` (0 or 128) is what a host adds back.
    ``layout`` is the permutation that a host applies to the model file's array to get this tensor,
    ``graph_array = file_array.transpose(layout)``; None where both have the same axes.
    """

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    offset: int = 0
    layout: tuple[int, ...] | None = None
    bits: int = 8

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        """Memory that it takes, in bytes."""
        return self.size * self.bits // 8

    @property
    def dtype(self) -> np.dtype:
        """NumPy's type of an element."""
        return np.dtype(f"int{self.bits}")

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value of an element."""
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1

    def check(self) -> None:
        """Raise :class:`UserError` if its shape, type or scale is impossible."""
        if not self.shape or any(n < 1 for n in self.shape):
            raise UserError(
                f"tensor '{self.name}' has shape {self.shape}; "
                "every dimension must be known and at least 1"
            )
        if self.bits not in (8, 16):
            raise UserError(f"tensor '{self.name}' has {self.bits} bits; it must have 8 or 16")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise UserError(
                f"tensor '{self.name}' has scale {self.scale}; "
                "scales must be finite and greater than zero"
            )
        low, high = self.limits
        if not low <= self.zero_point <= high:
            raise UserError(
                f"tensor '{self.name}' has zero point {self.zero_point}, not an {self.dtype}"
            )
        if self.bits == 16 and (self.zero_point or np.frexp(self.scale)[0] != 0.5):
            raise UserError(
                f"tensor '{self.name}' is int16 with scale {self.scale} and zero point "
                f"{self.zero_point}; int16 needs a power of two and zero point 0"
            )


@dataclass(frozen=True, eq=False)
class Task:
    """What all tasks share: a unique name, input tensors by name, one output tensor by name.

    ``operands`` is how many inputs a kind of task takes, None for any number from one on; ``types``
    are the bits per element that it is defined for. All tensors of a task have one type.
    """

    name: str
    inputs: tuple[str, ...]
    output: str

    kind: ClassVar[str] = "task"
    operands: ClassVar[int | None] = 1
    types: ClassVar[tuple[int, ...]] = (8, 16)

    def macs(self, graph: "Graph") -> int:
        """Dense multiply-accumulates, padded taps included."""
        return 0

    def weight_bytes(self, graph: "Graph") -> int:
        """Bytes of weights and biases that an accelerator has to hold or stream."""
        return 0

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result.

        Parameters
        ----------
        operands
            The tensors read, in the order of ``inputs``.
        declared
            The result's shape where the task does not determine it (Reshape, Slice).

        Raises
        ------
        ValueError
            If the operands or the task's own members do not suit each other.
        """
        return operands[0].shape

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        """Raise ValueError unless types, members and shapes suit each other."""
        _require(
            self.operands in (None, len(operands)) and len(operands) > 0,
            f"it has {len(operands)} inputs, not {self.operands or 'at least 1'}",
        )
        for tensor in (*operands, result):
            _require(
                tensor.bits in self.types,
                f"'{tensor.name}' is {tensor.dtype}, for which {self.kind} is not defined",
            )
            _require(
                tensor.bits == result.bits,
                f"'{tensor.name}' is {tensor.dtype} but '{result.name}' is {result.dtype}; "
                "all its tensors must have one type",
            )
        shape = self.shape(operands, result.shape)
        _require(
            shape == result.shape,
            f"its result has shape {shape}, but '{result.name}' is declared as {result.shape}",
        )
        low, high = getattr(self, "clamp", result.limits)
        _require(
            result.limits[0] <= low <= high <= result.limits[1],
            f"its clamp ({low}, {high}) is no range of {result.dtype}",
        )
        _require(
            result.bits == 8 or not getattr(self, "even", False),
            "only int8 is rounded half to even",
        )

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(np.array_equal(a, b) for a, b in pairs)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_image(x: Tensor) -> None:
    _require(
        len(x.shape) == 4 and x.shape[0] == 1,
        f"'{x.name}' must be an image (1, H, W, C), not {x.shape}",
    )


def _require_scales(task: "Conv | MatMul | ConvTranspose", result: Tensor) -> None:
    """One bias, multiplier and shift per output channel; at 16 bits, shift and saturate."""
    count = len(task.weights)
    for name in ("bias", "multiplier", "shift"):
        shape = getattr(task, name).shape
        _require(shape == (count,), f"its {name} has shape {shape}, not ({count},)")
    if result.bits == 16:
        _require_shift(task.multiplier, task.shift)


def _require_shift(multiplier: np.ndarray | int, shift: np.ndarray | int) -> None:
    _require(
        bool(np.all(np.equal(multiplier, INT16_MULTIPLIER)))
        and bool(np.all(np.less_equal(shift, 1) & np.greater_equal(shift, -31))),
        "int16 is requantised with multiplier 2**30 and shifts from -31 to 1",
    )


def _windowed(
    x: Tensor,
    kernel: Sequence[int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> tuple[int, int]:
    """Rows and columns of windows in a padded image."""
    _require_image(x)
    sizes = (x.shape[1] + padding[0] + padding[1], x.shape[2] + padding[2] + padding[3])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    _require(
        all(r <= n for r, n in zip(reach, sizes, strict=True)),
        f"its window {reach[0]} x {reach[1]} is larger than the padded image "
        f"{sizes[0]} x {sizes[1]}",
    )
    rows, columns = ((n - r) // s + 1 for n, r, s in zip(sizes, reach, stride, strict=True))
    return rows, columns


def _broadcast(a: Tensor, b: Tensor) -> tuple[int, ...]:
    """Shape of an element-wise result: equal shapes, or an image of one channel with any image."""
    if a.shape == b.shape:
        return a.shape
    images = len(a.shape) == len(b.shape) == 4 and a.shape[:3] == b.shape[:3]
    _require(
        images and 1 in (a.shape[3], b.shape[3]),
        f"'{a.name}' {a.shape} and '{b.name}' {b.shape} must have equal shapes, or be images one "
        "of which has a single channel",
    )
    return max(a.shape, b.shape)


def _permuted(x: Tensor, permutation: tuple[int, ...]) -> tuple[int, ...]:
    _require(
        sorted(permutation) == list(range(len(x.shape))),
        f"{permutation} does not permute the axes of '{x.name}' {x.shape}",
    )
    return tuple(x.shape[axis] for axis in permutation)


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
        _require(self.weights.ndim == 4, "its weights must be (O, KH, KW, C / groups)")
        outputs, *kernel, inputs = self.weights.shape
        rows, columns = _windowed(x, kernel, self.stride, self.dilation, self.padding)
        _require(
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
        _require_image(x)
        _require(self.weights.ndim == 4, "its weights must be (O, KH, KW, C)")
        outputs, height, width, inputs = self.weights.shape
        _require(
            x.shape[3] == inputs,
            f"its weights {self.weights.shape} do not suit '{x.name}' {x.shape}",
        )
        top, bottom, left, right = self.padding
        rows = (x.shape[1] - 1) * self.stride[0] + height - top - bottom
        columns = (x.shape[2] - 1) * self.stride[1] + width - left - right
        _require(rows > 0 and columns > 0, f"its padding {self.padding} leaves nothing")
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
        _require(
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
        _require(
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
class Pool(Task):
    """Max or average pooling of (1, H, W, C); padded taps do not take part.

    ``average``: ``sum / n`` over the n taps inside the image, rounded half away from zero, on raw
    integers (input and output share scale and zero point); where ``even``, ``sum`` is of
    ``x - zero_point``, halves go to even, and the zero point is added again. Both modes: then
    clamped to ``clamp``.
    """

    mode: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    clamp: tuple[int, int] = (-128, 127)
    even: bool = False

    kind = "pool"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        return 1, *_windowed(x, self.kernel, self.stride, (1, 1), self.padding), x.shape[3]


@dataclass(frozen=True, eq=False)
class Upsample(Task):
    """Nearest neighbour: ``y[0, h, w, c] = x[0, h // factor, w // factor, c]`` of (1, H, W, C)."""

    factor: int

    kind = "upsample"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        _require_image(x)
        _require(self.factor > 0, f"its factor must be at least 1, not {self.factor}")
        return 1, x.shape[1] * self.factor, x.shape[2] * self.factor, x.shape[3]


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
        _require(
            a.bits == 16 or a.shape == b.shape,
            f"'{a.name}' {a.shape} and '{b.name}' {b.shape} must have equal shapes",
        )
        return _broadcast(a, b)

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        scales = [tensor.scale for tensor in (*operands, result)]
        rescales = (self.rescale_a, self.rescale_b, self.rescale_out)
        _require(
            result.bits == 8 or (len({*scales}) == 1 and rescales == EQUAL_SCALES),
            f"int16 tensors are added on one scale, not {', '.join(map(str, scales))}",
        )


@dataclass(frozen=True, eq=False)
class Lookup(Task):
    """Any unary function: ``y = table[x + 128]``; ``table`` is int8 (256,)."""

    function: str
    table: np.ndarray

    kind = "lookup"
    types = (8,)


@dataclass(frozen=True, eq=False)
class Interpolate(Task):
    """Any unary function of int16, linear between the 257 points of ``table``, int16 (257,).

    ``u = x + 32768; i = u >> 8; r = u & 255``;
    ``y = (table[i] * 256 + (table[i + 1] - table[i]) * r + 128) >> 8``.
    """

    function: str
    table: np.ndarray

    kind = "interpolate"
    types = (16,)

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        _require(self.table.shape == (257,), f"its table has shape {self.table.shape}, not (257,)")


@dataclass(frozen=True, eq=False)
class Softmax(Task):
    """Softmax over the last axis, as TensorFlow Lite's int8 reference; output scale 1/256, zero
    point -128. ``multiplier`` and ``left_shift`` rescale ``x - max`` to Q5.26; differences below
    ``diff_min`` count as zero.
    """

    multiplier: int
    left_shift: int
    diff_min: int

    kind = "softmax"
    types = (8,)


@dataclass(frozen=True, eq=False)
class RowSoftmax(Task):
    """Softmax of int16 over the last axis; scales are ``2**-fraction_bits`` and ``2**-15``.

    With ``T[j] = round(2**(20 - j / 128))`` for j in 0..128, for each element of a row:

        d = max(x) - x
        t = (d * 189097) >> (fraction_bits + 1)           # times log2(e), 16 fraction bits
        w, j, r = min(t >> 16, 31), (t >> 9) & 127, t & 511
        e = T[j] - (((T[j] - T[j + 1]) * r) >> 9)         # 2**w * exp, 20 fraction bits
        total = sum((e << 8) >> w)                        # 28 fraction bits
        reciprocal = (2**46 - 1) // total
        y = min((((e + 8) >> 4) * reciprocal + 2**(18 + w)) >> (19 + w), 32767)
    """

    fraction_bits: int

    kind = "row_softmax"
    types = (16,)

    def check(self, operands: Sequence[Tensor], result: Tensor) -> None:
        super().check(operands, result)
        _require(
            0 <= self.fraction_bits <= 15,
            f"its fraction_bits must be from 0 to 15, not {self.fraction_bits}",
        )
        for tensor, bits in ((operands[0], self.fraction_bits), (result, 15)):
            _require(
                tensor.scale == 2.0**-bits,
                f"'{tensor.name}' has scale {tensor.scale}, not 2**-{bits}",
            )


@dataclass(frozen=True, eq=False)
class Pad(Task):
    """Constant padding: ``padding`` is ((before, after), ...) per axis, ``value`` an element."""

    padding: tuple[tuple[int, int], ...]
    value: int

    kind = "pad"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        _require(
            len(self.padding) == len(x.shape),
            f"it pads {len(self.padding)} axes of '{x.name}' {x.shape}",
        )
        return tuple(n + sum(p) for n, p in zip(x.shape, self.padding, strict=True))


@dataclass(frozen=True, eq=False)
class Concat(Task):
    """Concatenation along ``axis`` (never negative); all scales equal."""

    axis: int

    kind = "concat"
    operands = None

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        first = operands[0]
        _require(
            0 <= self.axis < len(first.shape),
            f"'{first.name}' {first.shape} has no axis {self.axis}",
        )
        rests = [(*x.shape[: self.axis], *x.shape[self.axis + 1 :]) for x in operands]
        for x, rest in zip(operands, rests, strict=True):
            _require(
                rest == rests[0],
                f"'{first.name}' {first.shape} and '{x.name}' {x.shape} differ beside axis "
                f"{self.axis}",
            )
        total = sum(x.shape[self.axis] for x in operands)
        return *first.shape[: self.axis], total, *first.shape[self.axis + 1 :]


@dataclass(frozen=True, eq=False)
class Reshape(Task):
    """The same elements in the same row-major order, under the output's shape."""

    kind = "reshape"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        _require(
            int(np.prod(declared, dtype=np.int64)) == x.size,
            f"'{x.name}' {x.shape} has {x.size} elements, which do not fill {declared}",
        )
        return declared


@dataclass(frozen=True, eq=False)
class Transpose(Task):
    """``output = input.transpose(permutation)``."""

    permutation: tuple[int, ...]

    kind = "transpose"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        return _permuted(x, self.permutation)


@dataclass(frozen=True, eq=False)
class Slice(Task):
    """Per axis ``start : start + output.shape[axis] * step : step``, steps positive."""

    start: tuple[int, ...]
    step: tuple[int, ...]

    kind = "slice"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        _require(
            len(self.start) == len(self.step) == len(declared) == len(x.shape)
            and all(
                first >= 0 and by > 0 and first + (count - 1) * by < size
                for first, by, count, size in zip(
                    self.start, self.step, declared, x.shape, strict=True
                )
            ),
            f"{declared} from {self.start} by {self.step} reaches outside '{x.name}' {x.shape}",
        )
        return declared


def _weight_bytes(graph: "Graph", task: Conv | MatMul | ConvTranspose) -> int:
    return task.weights.size * graph.tensors[task.output].bits // 8 + 4 * task.bias.size


@dataclass(frozen=True)
class Graph:
    """Tasks in execution order over named tensors.

    ``inputs`` and ``outputs`` name tensors. :meth:`check` holds for every graph a frontend returns.
    """

    name: str
    tensors: dict[str, Tensor]
    tasks: tuple[Task, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def macs(self) -> int:
        return sum(task.macs(self) for task in self.tasks)

    def producer(self, tensor: str) -> Task | None:
        """The task that makes ``tensor``, or None for an input of the graph."""
        return next((t for t in self.tasks if t.output == tensor), None)

    def check(self) -> None:
        """Raise :class:`UserError` naming the first task that breaks a rule of the graph."""
        for tensor in self.tensors.values():
            tensor.check()
        self._check_order()
        for task in self.tasks:
            try:
                task.check([self.tensors[n] for n in task.inputs], self.tensors[task.output])
            except ValueError as error:
                raise UserError(f"task '{task.name}': {error}") from None

    def _check_order(self) -> None:
        """Names are unique, and every tensor has one source that comes before its readers."""
        known = set(self.inputs)
        for name in self.inputs:
            if name not in self.tensors:
                raise UserError(f"graph input '{name}' is not among the graph's tensors")
        names: set[str] = set()
        for task in self.tasks:
            if task.name in names:
                raise UserError(f"two tasks are named '{task.name}'; names must be unique")
            names.add(task.name)
            for name in task.inputs:
                if name not in known:
                    raise UserError(self._unknown(task, name))
            if task.output not in self.tensors:
                raise UserError(f"task '{task.name}' writes unknown tensor '{task.output}'")
            if task.output in known:
                raise UserError(f"task '{task.name}' writes '{task.output}' a second time")
            known.add(task.output)
        for name in self.outputs:
            if name not in known:
                raise UserError(f"graph output '{name}' has no producer")

    def _unknown(self, task: Task, name: str) -> str:
        """Why ``task`` cannot read ``name``."""
        about = f"task '{task.name}' reads '{name}'"
        producer = self.producer(name)
        if producer is None:
            return f"{about}, which no task produces and which is not an input of the graph"
        if task.output in self._ancestors(name):
            return f"{about}, which depends on its own result '{task.output}'; remove the cycle"
        return f"{about} before task '{producer.name}' produces it; order tasks by their data"

    def _ancestors(self, tensor: str) -> set[str]:
        """``tensor`` and all tensors that it is computed from."""
        producers = {task.output: task for task in self.tasks}
        found: set[str] = set()
        left = [tensor]
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left.extend(producers[name].inputs if name in producers else ())
        return found
