"""Other generators of adder graphs, as graphs of this project: da4ml and alkaid."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from gen.errors import UserError
from rtl.unrolled.graph import AdderGraph, Operand, Row

from .hosted import hosted
from .search import checked

__all__ = ["alkaid", "da4ml", "live"]

_ADD, _SUBTRACT, _TERNARY, _INPUT, _NEGATE = 0, 1, 11, -1, -2


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise UserError(f"{package} is not installed: pip install {package}") from error


class _Builder:
    """Turns operations into rows; a value is an operand, so that signs and shifts are free."""

    def __init__(self, inputs: Sequence[tuple[int, int]]):
        self.inputs = tuple(inputs)
        self.rows: list[Row] = []

    def add(self, terms: Sequence[Operand]) -> Operand:
        """A row for the sum of some terms, whose lowest is not negated."""
        least = min(t.shift for t in terms)
        lowest = [t for t in terms if t.shift == least]
        flip = all(t.negated for t in lowest) or sum(t.negated for t in terms) > 2
        row = tuple(Operand(t.value, t.shift - least, t.negated != flip) for t in terms)
        self.rows.append(Row(row))
        return Operand(len(self.inputs) + len(self.rows) - 1, least, flip)

    def positive(self, term: Operand) -> Operand:
        if not term.negated:
            return term
        self.rows.append(Row((Operand(term.value, 0, True),)))
        return Operand(len(self.inputs) + len(self.rows) - 1, term.shift)


def _scaled(term: Operand | None, shift: int, negate: bool) -> Operand | None:
    if term is None:
        return None
    return Operand(term.value, term.shift + shift, term.negated != negate)


def _shift(builder: _Builder, logic: Any, terms: Sequence[Operand | None]) -> list[Operand | None]:
    """The outputs of one solution, whose inputs are ``terms``."""
    made: list[Operand | None] = []
    for op in logic.ops:
        if op.opcode == _INPUT:
            index = op.data[0]
            made.append(_scaled(terms[index], int(logic.inp_shifts[index]), False))
            continue
        if op.opcode == _NEGATE:
            made.append(_scaled(made[op.addr[0]], 0, True))
            continue
        if op.opcode == _TERNARY:
            signs = [(op.data[2 * k] <= 0, op.data[2 * k + 1]) for k in range(3)]
        elif op.opcode in (_ADD, _SUBTRACT):
            signs = [(False, 0), (op.opcode == _SUBTRACT, op.data[0])]
        else:
            raise ValueError(f"operation {op.opcode} is none of a product with constants")
        parts = [
            _scaled(made[at], int(shift), bool(negate))
            for at, (negate, shift) in zip(op.addr, signs, strict=True)
        ]
        known = [part for part in parts if part is not None]
        made.append(builder.add(known) if len(known) > 1 else known[0] if known else None)
    return [
        _scaled(made[at], int(shift), bool(negate)) if at >= 0 else None
        for at, shift, negate in zip(logic.out_idxs, logic.out_shifts, logic.out_negs, strict=True)
    ]


def _graph(
    solutions: Sequence[Any], inputs: Sequence[tuple[int, int]], modulus_bits: int | None
) -> AdderGraph:
    builder = _Builder(inputs)
    terms: list[Operand | None] = [Operand(k) for k in range(len(inputs))]
    for logic in solutions:
        terms = _shift(builder, logic, terms)
    outputs = tuple(builder.positive(t) if t is not None else None for t in terms)
    return live(AdderGraph(tuple(inputs), tuple(builder.rows), outputs, modulus_bits))


def live(graph: AdderGraph) -> AdderGraph:
    """The graph without rows that no output needs."""
    n = len(graph.inputs)
    needed = [False] * (n + len(graph.rows))
    for o in graph.outputs:
        if o is not None:
            needed[o.value] = True
    for index in range(len(graph.rows) - 1, -1, -1):
        if needed[n + index]:
            for o in graph.rows[index].operands:
                needed[o.value] = True
    place = list(range(n))
    rows: list[Row] = []

    def moved(o: Operand) -> Operand:
        return Operand(place[o.value], o.shift, o.negated)

    for index, row in enumerate(graph.rows):
        place.append(n + len(rows))
        if needed[n + index]:
            rows.append(Row(tuple(map(moved, row.operands))))
    outputs = tuple(moved(o) if o is not None else None for o in graph.outputs)
    return AdderGraph(graph.inputs, tuple(rows), outputs, graph.modulus_bits)


def _solved(
    solve: Callable[..., Any],
    matrix: np.ndarray,
    inputs: Sequence[tuple[int, int]],
    modulus_bits: int | None,
) -> Any:
    array = checked(matrix, inputs)
    if modulus_bits is not None:  # the representative of least magnitude, which has fewest digits
        half = 1 << (modulus_bits - 1)
        array = (array + half) % (2 * half) - half
    intervals = [(float(low), float(high), 1.0) for low, high in inputs]
    return solve(np.ascontiguousarray(array, np.float32), qintervals=intervals)


def alkaid(
    matrix: np.ndarray,
    inputs: Sequence[tuple[int, int]],
    *,
    operands: int = 3,
    modulus_bits: int | None = None,
    hosting: bool = False,
) -> AdderGraph:
    """What alkaid makes of ``x @ matrix``, its adders fused by itself where rows may have three.

    Parameters are those of :func:`gen.unrolled.search.search`.

    Raises
    ------
    UserError
        If it is not installed.
    """
    solve = _module("alkaid._binary").cmvm_solve
    solutions = _solved(solve, matrix, inputs, modulus_bits)
    if operands == 3:
        fuse = _module("alkaid.trace.passes").fuse_ternary_adders
        solutions = [fuse(logic) for logic in solutions]
    graph = _graph(solutions, inputs, modulus_bits)
    return hosted(graph) if hosting else graph


def da4ml(
    matrix: np.ndarray,
    inputs: Sequence[tuple[int, int]],
    *,
    operands: int = 3,
    modulus_bits: int | None = None,
    hosting: bool = False,
) -> AdderGraph:
    """What da4ml makes of ``x @ matrix``; alkaid's pass fuses its adders where rows may have three.

    Parameters are those of :func:`gen.unrolled.search.search`.

    Raises
    ------
    UserError
        If it is not installed.
    """
    solve = _module("da4ml.cmvm").solve
    types = _module("alkaid.types")
    fuse = _module("alkaid.trace.passes").fuse_ternary_adders
    solutions = []
    for logic in _solved(solve, matrix, inputs, modulus_bits).solutions:
        ops = [
            types.Op(
                () if op.opcode == _INPUT else (op.id0, op.id1),
                op.opcode,
                (op.id0,) if op.opcode == _INPUT else (int(op.data),),
                types.QInterval(*op.qint),
                op.latency,
                op.cost,
            )
            for op in logic.ops
        ]
        same = types.CombLogic(
            logic.shape,
            logic.inp_shifts,
            logic.out_idxs,
            logic.out_shifts,
            logic.out_negs,
            ops,
            logic.carry_size,
            logic.adder_size,
            None,
        )
        solutions.append(fuse(same) if operands == 3 else same)
    graph = _graph(solutions, inputs, modulus_bits)
    return hosted(graph) if hosting else graph
