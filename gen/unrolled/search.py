"""The search for a small adder graph of a constant matrix; the work is done in ``search.cpp``."""

import ctypes
from collections.abc import Sequence

import numpy as np

from gen.errors import UserError
from rtl.unrolled.graph import AdderGraph, Operand, Row

from .balanced import balanced
from .hosted import hosted
from .native import library

__all__ = ["MOST_BITS", "checked", "search"]

MOST_BITS = 16
"""Widest weights and activations."""

_HOT, _COLD = 4.0, 0.5
_ROW = 10


def checked(matrix: np.ndarray, inputs: Sequence[tuple[int, int]]) -> np.ndarray:
    """``matrix`` as int64 (inputs, outputs).

    Raises
    ------
    UserError
        If it is not a matrix of integers of at most :data:`MOST_BITS` bits, or ``inputs`` does not
        give each of its rows an interval of that many bits.
    """
    array = np.asarray(matrix)
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(f"weights must be a matrix (inputs, outputs), not of shape {array.shape}")
    if not np.all(np.isfinite(array)) or np.any(array != np.round(array)):
        raise UserError("weights must be integers: scale and round them first")
    limit = 1 << MOST_BITS
    if np.any(array < -limit // 2) or np.any(array >= limit):
        raise UserError(f"weights must be of at most {MOST_BITS} bits")
    if len(inputs) != len(array):
        raise UserError(f"there must be {len(array)} intervals of inputs, not {len(inputs)}")
    for low, high in inputs:
        if not -limit // 2 <= low <= high < limit:
            raise UserError(f"inputs must be of 1 to {MOST_BITS} bits, not {low} to {high}")
    return array.astype(np.int64)


def search(
    matrix: np.ndarray,
    inputs: Sequence[tuple[int, int]],
    *,
    operands: int = 3,
    modulus_bits: int | None = None,
    hosting: bool = False,
    rounds: int = 0,
    seconds: float | None = None,
    seed: int = 1,
) -> AdderGraph:
    """An adder graph of ``x @ matrix``, as small as was found.

    Parameters
    ----------
    matrix
        Integers (inputs, outputs).
    inputs
        Least and greatest value of each input.
    operands
        Of a row at most: 3 where the chip adds three in one row of cells, else 2.
    modulus_bits
        Outputs modulo 2 to this power only.
    hosting
        Whether rows of two take more operands at their last bits, as of
        :func:`.hosted.hosted`; only with ``modulus_bits``.
    rounds
        Of improvement; the same number gives the same graph.
    seconds
        Improve for so long instead; then the graph depends on the machine.
    seed
        Of the search's random numbers.

    Raises
    ------
    UserError
        As :func:`checked`.
    """
    array = checked(matrix, inputs)
    if modulus_bits is not None:
        array = array & ((1 << modulus_bits) - 1)
    array, alike = _distinct(array, scale=modulus_bits is None)
    n, m = array.shape
    weights = np.ascontiguousarray(array, np.int32)
    low, high = (np.array([pair[k] for pair in inputs], np.int64) for k in (0, 1))
    capacity = 1 + int(np.count_nonzero(weights)) * MOST_BITS
    rows = np.zeros((capacity, _ROW), np.int32)
    results = np.zeros((m, 3), np.int32)
    statistics = np.zeros(8)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (weights, low, high)]
    count = library("search.cpp").intarsia_search(
        n,
        m,
        *pointers,
        operands,
        64 if modulus_bits is None else modulus_bits,
        int(hosting and operands == 2 and modulus_bits is not None),
        ctypes.c_double(1e9 if seconds is None else seconds),
        ctypes.c_int64(-1 if seconds is not None else rounds),
        ctypes.c_uint64(seed),
        ctypes.c_double(_HOT),
        ctypes.c_double(_COLD),
        capacity,
        *(a.ctypes.data_as(ctypes.c_void_p) for a in (rows, results, statistics)),
    )
    if count < 0:
        raise RuntimeError("the search made more rows than digits")
    found = results.tolist()
    every = [(found[k][0], found[k][1] + shift, found[k][2] * sign) for k, shift, sign in alike]
    graph = _graph(tuple(inputs), rows[:count].tolist(), every, modulus_bits)
    forms = (graph, balanced(graph))
    return min(map(hosted, forms) if hosting else forms, key=lambda form: form.area)


def _distinct(array: np.ndarray, *, scale: bool) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Different columns, and for each column of ``array`` one of them, its shift and its sign."""
    columns: dict[bytes, int] = {}
    kept, alike = [], []
    for column in array.T:
        shift, sign = 0, 1
        if scale and column.any():
            whole = int(np.bitwise_or.reduce(np.abs(column)))
            shift = (whole & -whole).bit_length() - 1
            column = column >> shift
            if column.tobytes() not in columns and (-column).tobytes() in columns:
                column, sign = -column, -1
        key = column.tobytes()
        if key not in columns:
            columns[key] = len(kept)
            kept.append(column)
        alike.append((columns[key], shift, sign))
    return np.stack(kept, 1), alike


def _graph(
    inputs: tuple[tuple[int, int], ...],
    rows: list[list[int]],
    results: Sequence[tuple[int, int, int]],
    modulus_bits: int | None,
) -> AdderGraph:
    made = [
        Row(tuple(Operand(r[1 + 3 * k], r[2 + 3 * k], r[3 + 3 * k] < 0) for k in range(r[0])))
        for r in rows
    ]
    outputs: list[Operand | None] = []
    negatives: dict[int, int] = {}
    for value, shift, sign in results:
        if value < 0:
            outputs.append(None)
            continue
        if sign < 0:
            if value not in negatives:
                negatives[value] = len(inputs) + len(made)
                made.append(Row((Operand(value, 0, True),)))
            value = negatives[value]
        outputs.append(Operand(value, shift))
    return AdderGraph(tuple(inputs), tuple(made), tuple(outputs), modulus_bits)
