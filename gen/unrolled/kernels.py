"""The kernels of Kratos (FPL 2024): sparse layers with constant weights, unrolled in full or part.

A kernel takes one vector a cycle, a window of earlier vectors included, and gives one vector a
cycle. Each of its copies multiplies some elements of the window with the same constant matrix.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from gen.errors import UserError
from rtl.unrolled.graph import AdderGraph, Operand, Row

__all__ = ["KERNELS", "Kernel", "Numbers", "kernel", "numbers", "replicated", "weights"]

TAPS = 3


@dataclass(frozen=True)
class Kernel:
    """A layer that is unrolled.

    Parameters
    ----------
    name, size
        As :func:`kernel` takes them.
    inputs
        Elements of the vector of a cycle.
    delays
        Which vectors the window holds, in cycles before the present one.
    matrix
        Shape (inputs, outputs) of a copy's matrix.
    copies
        For every copy, the elements of the window that it reads, in the matrix's order. Element
        ``e`` of the vector ``delays[d]`` cycles ago has the number ``d * inputs + e``.
    line
        As many copies one behind the other are neighbours, each of the next.
    """

    name: str
    size: str
    inputs: int
    delays: tuple[int, ...]
    matrix: tuple[int, int]
    copies: tuple[tuple[int, ...], ...]
    line: int = 1

    def golden(self, x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Outputs (cycles, copies * outputs) for inputs (cycles, inputs), which follow zeros."""
        before = np.zeros((max(self.delays), self.inputs), np.int64)
        stream = np.concatenate([before, np.asarray(x, np.int64)])
        start = len(before)
        window = np.hstack([stream[start - d : len(stream) - d] for d in self.delays])
        return np.hstack([window[:, list(copy)] @ matrix for copy in self.copies])

    def parts(self, count: int) -> tuple["Kernel", tuple[tuple[int, ...], ...]]:
        """A kernel that, standing ``count`` times, does the work of this one.

        Returns
        -------
        part
            With copies that are one behind the other here.
        reads
            For each time that it stands, which inputs are its own, in order.

        Raises
        ------
        ValueError
            If copies cannot be divided evenly and alike, or the kernel reads earlier vectors.
        """
        if count == 1:
            return self, (tuple(range(self.inputs)),)
        size, left = divmod(len(self.copies), count)
        alike = not left and self.delays == (0,)
        groups = [self.copies[k * size : (k + 1) * size] for k in range(count)]
        reads = [tuple(sorted({e for copy in group for e in copy})) for group in groups]
        places = [{e: k for k, e in enumerate(own)} for own in reads]
        copies = {
            tuple(tuple(place[e] for e in copy) for copy in group)
            for place, group in zip(places, groups, strict=True)
        }
        if not alike or len(copies) > 1:
            raise ValueError(f"{self.name}/{self.size} has no {count} parts that are alike")
        line = gcd(self.line, size)
        part = replace(self, inputs=len(reads[0]), copies=copies.pop(), line=line)
        return part, tuple(reads)


def _product(name: str, size: int, rows: int) -> Kernel:
    """``rows`` rows at a time of a matrix times a constant matrix (size, size)."""
    copies = tuple(tuple(range(r * size, (r + 1) * size)) for r in range(rows))
    return Kernel(name, "", rows * size, (0,), (size, size), copies)


def _conv1d(name: str, width: int, channels: tuple[int, int], *, whole: bool) -> Kernel:
    given, made = channels
    matrix = (TAPS * given, made)
    if whole:
        copies = [range(p * given, (p + TAPS) * given) for p in range(width - TAPS + 1)]
        return Kernel(name, "", width * given, (0,), matrix, tuple(map(tuple, copies)), len(copies))
    order = tuple(range(TAPS * given))
    return Kernel(name, "", given, tuple(range(TAPS - 1, -1, -1)), matrix, (order,))


def _conv2d(name: str, width: int, channels: tuple[int, int], form: str) -> Kernel:
    given, made = channels
    matrix = (TAPS * TAPS * given, made)
    line = width * given
    columns = range(width - TAPS + 1)
    if form == "pixel":
        delays = [dy * width + dx for dy in range(TAPS) for dx in range(TAPS)]
        return Kernel(name, "", given, tuple(delays[::-1]), matrix, (tuple(range(matrix[0])),))

    def window(y: int, x: int) -> tuple[int, ...]:
        parts = [
            range((y + dy) * line + x * given, (y + dy) * line + (x + TAPS) * given)
            for dy in range(TAPS)
        ]
        return tuple(e for part in parts for e in part)

    if form == "row":
        copies = tuple(window(0, x) for x in columns)
        return Kernel(name, "", line, tuple(range(TAPS - 1, -1, -1)), matrix, copies, len(columns))
    copies = tuple(window(y, x) for y in columns for x in columns)
    return Kernel(name, "", width * line, (0,), matrix, copies, len(columns))


_ALL = {
    ("conv1d-fu", "tiny"): _conv1d("conv1d-fu", 32, (8, 8), whole=True),
    ("conv1d-fu", "mini"): _conv1d("conv1d-fu", 32, (16, 16), whole=True),
    ("conv1d-pw", "S"): _conv1d("conv1d-pw", 32, (64, 64), whole=False),
    ("conv1d-pw", "L"): _conv1d("conv1d-pw", 32, (64, 128), whole=False),
    ("conv2d-fu", "tiny"): _conv2d("conv2d-fu", 8, (4, 4), "all"),
    ("conv2d-fu", "mini"): _conv2d("conv2d-fu", 8, (8, 8), "all"),
    ("conv2d-rp", "S"): _conv2d("conv2d-rp", 8, (8, 8), "row"),
    ("conv2d-rp", "L"): _conv2d("conv2d-rp", 8, (16, 16), "row"),
    ("conv2d-pw", "S"): _conv2d("conv2d-pw", 25, (32, 64), "pixel"),
    ("conv2d-pw", "L"): _conv2d("conv2d-pw", 25, (64, 64), "pixel"),
    ("product-fu", "tiny"): _product("product-fu", 16, 16),
    ("product-fu", "mini"): _product("product-fu", 32, 32),
    ("product-rp", "S"): _product("product-rp", 32, 1),
    ("product-rp", "L"): _product("product-rp", 128, 1),
    # Not unrolled: an array that the weights are loaded into, whatever they are.
    ("systolic", "S"): _product("systolic", 16, 1),
    ("systolic", "L"): _product("systolic", 128, 1),
    # Not of Kratos: one product of a vector and a matrix, as generators are compared by.
    ("vector", "16"): _product("vector", 16, 1),
    ("vector", "64"): _product("vector", 64, 1),
    ("vector", "256"): _product("vector", 256, 1),
}

KERNELS = tuple(_ALL)
"""Every kernel and size."""


def kernel(name: str, size: str) -> Kernel:
    """The kernel of a name and size.

    Raises
    ------
    UserError
        If there is none.
    """
    if (name, size) not in _ALL:
        known = ", ".join(f"{a}/{b}" for a, b in KERNELS)
        raise UserError(f"no kernel is called '{name}/{size}'; there are {known}")
    return replace(_ALL[name, size], size=size)


@dataclass(frozen=True)
class Numbers:
    """What weights and activations of a width are.

    ``weight_bits`` has the widths among which the weights are divided evenly; ``interval`` is that
    of activations; outputs are modulo 2 to the power ``modulus_bits``, or whole.
    """

    arithmetic: str
    width: str
    weight_bits: tuple[int, ...]
    interval: tuple[int, int]
    modulus_bits: int | None

    @property
    def weights(self) -> tuple[int, int]:
        """Least and greatest weight that there may be."""
        bits = max(self.weight_bits)
        if self.arithmetic == "kratos":
            return 0, (1 << bits) - 1
        return -(1 << (bits - 1)), max(1, (1 << (bits - 1)) - 1)


def numbers(arithmetic: str, width: str) -> Numbers:
    """``exact`` (signed, whole) or ``kratos`` (unsigned, modulo) of 1, 2, 4, 8 bits or ``mixed``.

    Weights of one bit are -1 and 1 in ``exact``. Mixed weights are of 2, 4 and 8 bits, with
    activations of 8.

    Raises
    ------
    UserError
        If it is none of these.
    """
    if arithmetic not in ("exact", "kratos"):
        raise UserError(f"arithmetic is 'exact' or 'kratos', not '{arithmetic}'")
    if width not in ("1", "2", "4", "8", "mixed"):
        raise UserError(f"width is 1, 2, 4, 8 or mixed, not '{width}'")
    bits = (2, 4, 8) if width == "mixed" else (int(width),)
    most = bits[-1]
    if arithmetic == "kratos":
        return Numbers(arithmetic, width, bits, (0, (1 << most) - 1), most)
    interval = (-(1 << (most - 1)), (1 << (most - 1)) - 1) if most > 1 else (0, 1)
    return Numbers(arithmetic, width, bits, interval, None)


def weights(shape: tuple[int, int], kind: Numbers, sparsity: float, seed: int) -> np.ndarray:
    """Random constants int64 (inputs, outputs), of which exactly the share ``sparsity`` is zero.

    Raises
    ------
    UserError
        If ``sparsity`` is not from 0 to 1.
    """
    if not 0 <= sparsity <= 1:
        raise UserError(f"sparsity must be from 0 to 1, not {sparsity}")
    rng = np.random.default_rng(seed)
    n, m = shape
    bits = rng.permutation(np.resize(kind.weight_bits, n * m))
    if kind.arithmetic == "kratos":
        w = rng.integers(1, 1 << bits)
    else:
        half = np.maximum(1, 1 << (bits - 1))
        w = rng.integers(1, 2 * half + (half == 1), n * m)
        # From -half to half - 1 without 0; of one bit, -1 and 1.
        w = np.where(half == 1, 2 * w - 3, np.where(w <= half, -w, w - half))
    w[rng.permutation(n * m)[: round(sparsity * n * m)]] = 0
    return w.reshape(n, m).astype(np.int64)


def replicated(
    graphs: Sequence[AdderGraph],
    window: int,
    copies: Sequence[Sequence[int]],
    together: int | None = None,
) -> AdderGraph:
    """Every graph for every copy, which read ``window`` inputs, all alike.

    Parameters
    ----------
    graphs
        Of one copy, each for some of its outputs, in order.
    window
        Number of inputs of the result.
    copies
        For each copy, which of those it reads.
    together
        As many graphs in a row read an input as one. Where others read it too, they have rows that
        only pass it on, so that registers behind these may lie near their readers.
    """
    rows: list[Row] = []
    outputs: list[Operand | None] = []
    placed = [(graph, copy) for copy in copies for graph in graphs]
    size = together or len(placed)
    groups = [placed[k : k + size] for k in range(0, len(placed), size)]
    readers = Counter(e for group in groups for e in {e for _, copy in group for e in copy})
    for group in groups:
        passed: dict[int, int] = {}
        for e in sorted({e for _, copy in group for e in copy if readers[e] > 1}):
            passed[e] = window + len(rows)
            rows.append(Row((Operand(e),)))
        for graph, copy in group:
            own = range(window + len(rows), window + len(rows) + len(graph.rows))
            place = [*(passed.get(e, e) for e in copy), *own]

            def moved(o: Operand, place: list[int] = place) -> Operand:
                return Operand(place[o.value], o.shift, o.negated)

            rows += [
                Row(tuple(map(moved, row.operands)), tuple(map(moved, row.guests)))
                for row in graph.rows
            ]
            outputs += [moved(o) if o is not None else None for o in graph.outputs]
    inputs = (graphs[0].inputs[0],) * window
    return AdderGraph(inputs, tuple(rows), tuple(outputs), graphs[0].modulus_bits)
