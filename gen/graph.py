"""Graph: integer tensors and the tasks that make them.

The graph is what every later stage and the golden model agree on. It is purely integer: a frontend
has turned each real scale into a multiplier and a shift, each activation function into a table or
a clamp. Task semantics are stated here in words and formulas; :mod:`sim.golden` computes them.

Requantisation of an accumulator ``x`` (int32) by ``(multiplier, shift)`` is TensorFlow Lite's
``MultiplyByQuantizedMultiplier`` with double rounding, ``multiplier`` in [0, 2**31) and ``shift``
in [-31, 30]:

    left, right = max(shift, 0), max(-shift, 0)
    t = floor(((x << left) * multiplier + 2**30) / 2**31)
    y = t / 2**right, rounded half away from zero
"""

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from .errors import UserError

__all__ = [
    "Add",
    "Concat",
    "Conv",
    "Graph",
    "Lookup",
    "MatMul",
    "Pad",
    "Pool",
    "Reshape",
    "Slice",
    "Softmax",
    "Task",
    "Tensor",
    "Transpose",
]


@dataclass(frozen=True)
class Tensor:
    """An int8 activation tensor, row-major, last dimension contiguous; images are (1, H, W, C).

    Real value = ``scale * (q - zero_point)``. A uint8 tensor of a model file is held as
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

    @property
    def size(self) -> int:
        """Number of elements, which for int8 is also the number of bytes."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Task:
    """What all tasks share: a unique name, input tensors by name, one output tensor by name."""

    name: str
    inputs: tuple[str, ...]
    output: str

    kind: ClassVar[str] = "task"

    def macs(self, graph: "Graph") -> int:
        """Dense multiply-accumulates, padded taps included."""
        return 0

    def weight_bytes(self) -> int:
        """Bytes of weights and biases that an accelerator has to hold or stream."""
        return 0

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(np.array_equal(a, b) for a, b in pairs)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


@dataclass(frozen=True, eq=False)
class Conv(Task):
    """2-D convolution of (1, H, W, C) to (1, OH, OW, O); depthwise where ``groups == C``.

    ``acc[o] = bias[o] + sum(weights[o, ky, kx, c] * (x[iy, ix, c] - zero_point_in))``, out-of-range
    taps counting as zero; then requantisation by ``(multiplier[o], shift[o])``, plus the output's
    zero point, clamped to ``clamp``. Output channel ``o`` belongs to group ``o // (O // groups)``.
    A 1-D convolution is one with H = 1.

    ``weights`` is int16 (O, KH, KW, C / groups), any zero point already subtracted, so in
    [-255, 255]; ``bias`` int32 (O,), ``multiplier`` int32 (O,), ``shift`` int8 (O,).
    ``stride`` and ``dilation`` are (y, x); ``padding`` is (top, bottom, left, right).
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

    kind = "conv"

    def macs(self, graph: "Graph") -> int:
        return graph.tensors[self.output].size * int(np.prod(self.weights.shape[1:]))

    def weight_bytes(self) -> int:
        return self.weights.size + 4 * self.bias.size


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

    kind = "matmul"

    def macs(self, graph: "Graph") -> int:
        return graph.tensors[self.output].size * self.weights.shape[1]

    def weight_bytes(self) -> int:
        return self.weights.size + 4 * self.bias.size


@dataclass(frozen=True, eq=False)
class Pool(Task):
    """Max or average pooling of (1, H, W, C); padded taps do not take part.

    ``average``: ``sum / n`` over the n taps inside the image, rounded half away from zero, on raw
    integers (input and output share scale and zero point). Both: then clamped to ``clamp``.
    """

    mode: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    clamp: tuple[int, int] = (-128, 127)

    kind = "pool"


@dataclass(frozen=True, eq=False)
class Add(Task):
    """Sum of two tensors of equal shape, each with its own scale, as TensorFlow Lite's ADD.

    ``a' = requantise((a - zero_point_a) << 20, *rescale_a)``, ``b'`` likewise, then
    ``requantise(a' + b', *rescale_out)`` plus the output's zero point, clamped. The three pairs are
    (multiplier, shift) with shift <= 0.
    """

    rescale_a: tuple[int, int]
    rescale_b: tuple[int, int]
    rescale_out: tuple[int, int]
    clamp: tuple[int, int] = (-128, 127)

    kind = "add"


@dataclass(frozen=True, eq=False)
class Lookup(Task):
    """Any unary function: ``y = table[x + 128]``; ``table`` is int8 (256,)."""

    function: str
    table: np.ndarray

    kind = "lookup"


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


@dataclass(frozen=True, eq=False)
class Pad(Task):
    """Constant padding: ``padding`` is ((before, after), ...) per axis, ``value`` an int8."""

    padding: tuple[tuple[int, int], ...]
    value: int

    kind = "pad"


@dataclass(frozen=True, eq=False)
class Concat(Task):
    """Concatenation along ``axis`` (never negative); all scales equal."""

    axis: int

    kind = "concat"


@dataclass(frozen=True, eq=False)
class Reshape(Task):
    """The same elements in the same row-major order, under the output's shape."""

    kind = "reshape"


@dataclass(frozen=True, eq=False)
class Transpose(Task):
    """``output = input.transpose(permutation)``."""

    permutation: tuple[int, ...]

    kind = "transpose"


@dataclass(frozen=True, eq=False)
class Slice(Task):
    """Per axis ``start : start + output.shape[axis] * step : step``, steps positive."""

    start: tuple[int, ...]
    step: tuple[int, ...]

    kind = "slice"


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
        known = set(self.inputs)
        for name in self.inputs:
            if name not in self.tensors:
                raise UserError(f"graph input '{name}' is not among the graph's tensors")
        for task in self.tasks:
            for name in task.inputs:
                if name not in known:
                    raise UserError(
                        f"task '{task.name}' reads '{name}', which no earlier task produces; "
                        "order tasks by their data and remove cycles"
                    )
            if task.output not in self.tensors:
                raise UserError(f"task '{task.name}' writes unknown tensor '{task.output}'")
            if task.output in known:
                raise UserError(f"task '{task.name}' writes '{task.output}' a second time")
            known.add(task.output)
        for tensor in self.tensors.values():
            if not tensor.shape or any(n < 1 for n in tensor.shape):
                raise UserError(
                    f"tensor '{tensor.name}' has shape {tensor.shape}; "
                    "every dimension must be known and at least 1"
                )
            if not (np.isfinite(tensor.scale) and tensor.scale > 0):
                raise UserError(
                    f"tensor '{tensor.name}' has scale {tensor.scale}; "
                    "scales must be finite and greater than zero"
                )
            if not -128 <= tensor.zero_point <= 127:
                raise UserError(
                    f"tensor '{tensor.name}' has zero point {tensor.zero_point}, not an int8"
                )
        for name in self.outputs:
            if name not in known:
                raise UserError(f"graph output '{name}' has no producer")
        names = [task.name for task in self.tasks]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"two tasks are named '{name}'; names must be unique")
