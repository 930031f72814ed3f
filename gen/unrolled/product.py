"""Product: an adder graph and its pipeline as arrays, which a schedule holds and files keep."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from rtl.unrolled.graph import AdderGraph, Operand, Row
from rtl.unrolled.product import ConstantProduct

from .balanced import balanced
from .stages import Delay, stages

__all__ = ["Product", "pipelined"]

DELAY, TARGET = Delay(row=1.0, bit=0.02), 2.0
"""A row takes as long as 50 bits of carry; between registers is at most the time of two rows."""


@dataclass(frozen=True, eq=False)
class Product:
    """Outputs of a constant matrix, as rows of up to three operands.

    ``inputs`` is int64 (inputs, 2), least and greatest value. ``rows`` is int64 (rows, 3, 3): of
    each operand its value, -1 if there is none, its shift, and 1 if it is negated. ``outputs`` is
    int64 (outputs, 2), value and shift, the value -1 where an output is 0. ``stages`` is int64
    (rows): the registers between the inputs and each row.
    """

    inputs: np.ndarray
    rows: np.ndarray
    outputs: np.ndarray
    stages: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Product):
            return NotImplemented
        names = [f.name for f in fields(self)]
        return all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @cached_property
    def graph(self) -> AdderGraph:
        """The same as operands and rows."""
        rows = (
            Row(tuple(Operand(v, shift, bool(negated)) for v, shift, negated in row if v >= 0))
            for row in self.rows.tolist()
        )
        outputs = (Operand(v, shift) if v >= 0 else None for v, shift in self.outputs.tolist())
        inputs = tuple((low, high) for low, high in self.inputs.tolist())
        return AdderGraph(inputs, tuple(rows), tuple(outputs))

    @cached_property
    def matrix(self) -> np.ndarray:
        """What it multiplies with: int64 (inputs, outputs)."""
        coefficients = self.graph.coefficients
        zero = np.zeros(len(self.inputs), np.int64)
        columns = [coefficients[v] << s if v >= 0 else zero for v, s in self.outputs.tolist()]
        return np.stack(columns, 1)

    @cached_property
    def latency(self) -> int:
        """Cycles, registers at inputs and outputs included."""
        return ConstantProduct.latency_of(self.graph, self.stages.tolist(), True)

    @property
    def luts(self) -> int:
        """Look-up tables of the rows, by the area model of :class:`AdderGraph`."""
        return self.graph.area


def pipelined(graph: AdderGraph) -> Product:
    """A graph with registers where a way would be longer than :data:`TARGET`, and its ways as
    short as they can be."""
    graph = balanced(graph)
    rows = np.full((len(graph.rows), 3, 3), -1, np.int64)
    for k, row in enumerate(graph.rows):
        for place, o in enumerate(row.operands):
            rows[k, place] = o.value, o.shift, o.negated
    outputs = [(o.value, o.shift) if o is not None else (-1, 0) for o in graph.outputs]
    return Product(
        np.array(graph.inputs, np.int64),
        rows,
        np.array(outputs, np.int64),
        np.array(stages(graph, TARGET, DELAY), np.int64),
    )
