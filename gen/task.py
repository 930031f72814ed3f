"""Task: what all tasks of a graph share, and the tensors that they read and write."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .errors import UserError

if TYPE_CHECKING:
    from .graph import Graph

__all__ = [
    "Task",
    "Tensor",
    "require",
    "require_image",
    "windowed",
]


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
        require(
            self.operands in (None, len(operands)) and len(operands) > 0,
            f"it has {len(operands)} inputs, not {self.operands or 'at least 1'}",
        )
        for tensor in (*operands, result):
            require(
                tensor.bits in self.types,
                f"'{tensor.name}' is {tensor.dtype}, for which {self.kind} is not defined",
            )
            require(
                tensor.bits == result.bits,
                f"'{tensor.name}' is {tensor.dtype} but '{result.name}' is {result.dtype}; "
                "all its tensors must have one type",
            )
        shape = self.shape(operands, result.shape)
        require(
            shape == result.shape,
            f"its result has shape {shape}, but '{result.name}' is declared as {result.shape}",
        )
        low, high = getattr(self, "clamp", result.limits)
        require(
            result.limits[0] <= low <= high <= result.limits[1],
            f"its clamp ({low}, {high}) is no range of {result.dtype}",
        )
        require(
            result.bits == 8 or not getattr(self, "even", False),
            "only int8 is rounded half to even",
        )

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(np.array_equal(a, b) for a, b in pairs)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def require_image(x: Tensor) -> None:
    require(
        len(x.shape) == 4 and x.shape[0] == 1,
        f"'{x.name}' must be an image (1, H, W, C), not {x.shape}",
    )


def windowed(
    x: Tensor,
    kernel: Sequence[int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> tuple[int, int]:
    """Rows and columns of windows in a padded image."""
    require_image(x)
    sizes = (x.shape[1] + padding[0] + padding[1], x.shape[2] + padding[2] + padding[3])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    require(
        all(r <= n for r, n in zip(reach, sizes, strict=True)),
        f"its window {reach[0]} x {reach[1]} is larger than the padded image "
        f"{sizes[0]} x {sizes[1]}",
    )
    rows, columns = ((n - r) // s + 1 for n, r, s in zip(sizes, reach, stride, strict=True))
    return rows, columns
