"""Tasks that pool, repeat, join or move elements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .task import Task, Tensor, require, require_image, windowed

__all__ = [
    "Concat",
    "Pad",
    "Pool",
    "Reshape",
    "Slice",
    "Transpose",
    "Upsample",
]


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
        return 1, *windowed(x, self.kernel, self.stride, (1, 1), self.padding), x.shape[3]


@dataclass(frozen=True, eq=False)
class Upsample(Task):
    """Nearest neighbour: ``y[0, h, w, c] = x[0, h // factor, w // factor, c]`` of (1, H, W, C)."""

    factor: int

    kind = "upsample"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        require_image(x)
        require(self.factor > 0, f"its factor must be at least 1, not {self.factor}")
        return 1, x.shape[1] * self.factor, x.shape[2] * self.factor, x.shape[3]


@dataclass(frozen=True, eq=False)
class Pad(Task):
    """Constant padding: ``padding`` is ((before, after), ...) per axis, ``value`` an element."""

    padding: tuple[tuple[int, int], ...]
    value: int

    kind = "pad"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        require(
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
        require(
            0 <= self.axis < len(first.shape),
            f"'{first.name}' {first.shape} has no axis {self.axis}",
        )
        rests = [(*x.shape[: self.axis], *x.shape[self.axis + 1 :]) for x in operands]
        for x, rest in zip(operands, rests, strict=True):
            require(
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
        require(
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


def _permuted(x: Tensor, permutation: tuple[int, ...]) -> tuple[int, ...]:
    require(
        sorted(permutation) == list(range(len(x.shape))),
        f"{permutation} does not permute the axes of '{x.name}' {x.shape}",
    )
    return tuple(x.shape[axis] for axis in permutation)


@dataclass(frozen=True, eq=False)
class Slice(Task):
    """Per axis ``start : start + output.shape[axis] * step : step``, steps positive."""

    start: tuple[int, ...]
    step: tuple[int, ...]

    kind = "slice"

    def shape(self, operands: Sequence[Tensor], declared: tuple[int, ...]) -> tuple[int, ...]:
        (x,) = operands
        require(
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
