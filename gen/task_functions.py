"""Tasks that apply a function to each element or row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .task import Task, Tensor, require

__all__ = [
    "Interpolate",
    "Lookup",
    "RowSoftmax",
    "Softmax",
]


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
        require(self.table.shape == (257,), f"its table has shape {self.table.shape}, not (257,)")


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
        require(
            0 <= self.fraction_bits <= 15,
            f"its fraction_bits must be from 0 to 15, not {self.fraction_bits}",
        )
        for tensor, bits in ((operands[0], self.fraction_bits), (result, 15)):
            require(
                tensor.scale == 2.0**-bits,
                f"'{tensor.name}' has scale {tensor.scale}, not 2**-{bits}",
            )
