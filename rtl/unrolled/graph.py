"""Adder graphs: products of a constant matrix and a vector as rows of up to three operands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["REACH", "ROOM", "AdderGraph", "Operand", "Row", "Shape", "shape_of"]


REACH, ROOM = 2, 4
"""Bits that guests of a row may reach, and how many there may be that reach the last one only."""


@dataclass(frozen=True)
class Operand:
    """``±(value << shift)``; values count the inputs first, then the rows."""

    value: int
    shift: int = 0
    negated: bool = False


@dataclass(frozen=True)
class Row:
    """A sum of one to three operands; one row of adder cells.

    ``guests`` are added too, and reach no further down than the last :data:`REACH` bits, whose
    carry is dropped: look-up tables of these bits take them in before the carry chain.
    """

    operands: tuple[Operand, ...]
    guests: tuple[Operand, ...] = ()

    @property
    def terms(self) -> tuple[Operand, ...]:
        """All that is added."""
        return self.operands + self.guests

    @property
    def passing(self) -> bool:
        """Whether the row adds nothing, and only passes a value on."""
        first, *others = self.terms
        return not others and not first.shift and not first.negated


@dataclass(frozen=True)
class Shape:
    """Bits of a value, and whether the highest counts negatively."""

    width: int
    signed: bool


def shape_of(low: int, high: int) -> Shape:
    """The fewest bits that hold all of ``low`` … ``high``."""
    if low >= 0:
        return Shape(high.bit_length(), False)
    return Shape(1 + max(max(high, 0).bit_length(), (~low).bit_length()), True)


@dataclass(frozen=True)
class AdderGraph:
    """Outputs as sums of shifted inputs, by way of rows that they share.

    Parameters
    ----------
    inputs
        Least and greatest value of each input.
    rows
        In an order in which every row comes after its operands.
    outputs
        None where an output is always 0; never negated.
    modulus_bits
        Outputs are wanted modulo 2 to this power, unsigned; None where they are wanted whole.

    Raises
    ------
    ValueError
        If there are no inputs or no outputs, a row has no operand or more than three, three that
        are negated or one that comes too late, or if an output is negated.
    """

    inputs: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...]
    outputs: tuple[Operand | None, ...]
    modulus_bits: int | None = None

    def __post_init__(self):
        if not self.inputs or not self.outputs:
            raise ValueError("a graph must have inputs and outputs")
        for index, row in enumerate(self.rows):
            if not 1 <= len(row.operands) <= 3:
                raise ValueError(f"row {index} must have 1 to 3 operands, not {len(row.operands)}")
            if sum(o.negated for o in row.operands) > 2:
                raise ValueError(f"row {index} must have an operand that is not negated")
            if any(not 0 <= o.value < len(self.inputs) + index for o in row.terms):
                raise ValueError(f"row {index} must come after all its operands")
        if any(o is not None and o.negated for o in self.outputs):
            raise ValueError("outputs must not be negated; give them a row")

    @cached_property
    def coefficients(self) -> np.ndarray:
        """Of every value on every input: int64 (values, inputs)."""
        n = len(self.inputs)
        result = np.zeros((n + len(self.rows), n), np.int64)
        result[:n] = np.eye(n, dtype=np.int64)
        for index, row in enumerate(self.rows, n):
            for o in row.terms:
                term = result[o.value] << o.shift
                result[index] += -term if o.negated else term
        return result

    @cached_property
    def intervals(self) -> list[tuple[int, int]]:
        """Exact least and greatest of every value, as inputs take all values independently."""
        c = self.coefficients
        low, high = (np.array([pair[k] for pair in self.inputs], np.int64) for k in (0, 1))
        up, down = np.maximum(c, 0), np.minimum(c, 0)
        least, most = up @ low + down @ high, up @ high + down @ low
        return list(zip(least.tolist(), most.tolist(), strict=True))

    @cached_property
    def shapes(self) -> list[Shape]:
        """Bits that are built of every value: what its users read, and no more than it has."""
        full = [shape_of(*interval) for interval in self.intervals]
        needed = [0] * len(full)
        for o in self.outputs:
            if o is not None:
                whole = full[o.value].width
                bits = whole if self.modulus_bits is None else self.modulus_bits - o.shift
                needed[o.value] = max(needed[o.value], bits)
        for index in range(len(full) - 1, len(self.inputs) - 1, -1):
            width = min(needed[index], full[index].width)
            for o in self.rows[index - len(self.inputs)].terms:
                needed[o.value] = max(needed[o.value], width - o.shift)
        return [
            f if need >= f.width else Shape(need, False)
            for f, need in zip(full, needed, strict=True)
        ]

    def output_shape(self, index: int) -> Shape:
        """Bits of an output."""
        o = self.outputs[index]
        if o is None:
            return Shape(1, False)
        if self.modulus_bits is not None:
            return Shape(self.modulus_bits, False)
        shape = self.shapes[o.value]
        return Shape(max(1, shape.width + o.shift), shape.signed)

    def base(self, index: int) -> int:
        """Lowest bit of a row that needs a cell; those below are wires."""
        operands = self.rows[index].operands
        shifts = sorted(o.shift for o in operands)
        lowest = [o for o in operands if o.shift == shifts[0]]
        if len(lowest) > 1 or lowest[0].negated:
            return shifts[0]
        return shifts[1] if len(shifts) > 1 else self.shapes[len(self.inputs) + index].width

    def has_room(self, index: int) -> bool:
        """Whether the tables of a row take its guests: one that reaches two bits, or up to
        :data:`ROOM` of one, beside two operands of which one is not negated."""
        row, width = self.rows[index], self.shapes[len(self.inputs) + index].width
        if not row.guests:
            return True
        if len(row.operands) != 2 or all(o.negated for o in row.operands):
            return False
        reach = max(width - o.shift for o in row.guests)
        if reach == REACH:
            return len(row.guests) == 1 and self.base(index) <= width - REACH
        return reach < REACH and len(row.guests) <= ROOM

    def luts(self, index: int) -> int:
        """Look-up tables of a row that is mapped one cell a bit, with the carry's end for free."""
        operands = self.rows[index].operands
        width = self.shapes[len(self.inputs) + index].width
        free = False
        if not any(o.negated or self.shapes[o.value].signed for o in operands):
            widest = max(self.shapes[o.value].width + o.shift for o in operands)
            free = width > widest + len(operands) - 2 and width > self.base(index)
        return max(0, width - self.base(index) - free)

    @cached_property
    def area(self) -> int:
        """Look-up tables of all rows."""
        return sum(map(self.luts, range(len(self.rows))))

    @cached_property
    def depths(self) -> list[int]:
        """Rows on the longest way to every value."""
        result = [0] * len(self.inputs)
        for row in self.rows:
            result.append(1 + max(result[o.value] for o in row.terms))
        return result

    def values(self, x: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
        """Outputs for rows of inputs, int64 (samples, outputs), as the rows add them up."""
        columns = list(np.asarray(x, np.int64).T)
        for row in self.rows:
            terms = ((columns[o.value] << o.shift) * (-1 if o.negated else 1) for o in row.terms)
            columns.append(sum(terms, np.zeros_like(columns[0])))
        none = np.zeros_like(columns[0])
        y = np.stack([none if o is None else columns[o.value] << o.shift for o in self.outputs], 1)
        return y if self.modulus_bits is None else y & ((1 << self.modulus_bits) - 1)
