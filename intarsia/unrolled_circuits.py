"""The circuits of the benchmark of unrolled layers, and what they give in Verilator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth import Module, Value
from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.emit import component_verilog
from gen.errors import UserError
from gen.unrolled.balanced import balanced
from gen.unrolled.kernels import Kernel, Numbers, replicated
from gen.unrolled.stages import Delay, stages
from rtl.unrolled.graph import AdderGraph, shape_of
from rtl.unrolled.plain import PlainProduct
from rtl.unrolled.product import ConstantProduct, passed_source, row_source
from rtl.unrolled.systolic import WeightStationary
from rtl.unrolled.window import Windowed
from sim.vectors import run_vectors

__all__ = ["LARGEST", "Circuit", "array", "pipelined", "plain", "unrolled"]

VECTORS = 200
_DELAY, _TARGET = Delay(row=1.0, bit=0.0), 1.0
"""A row a stage, for the highest clock."""
LARGEST, _REACH = 1500, 4500
"""Tables of a graph, and of graphs that read an input as one, at most: what a value reaches in a
cycle, where chips are full. In a graph wires go anywhere."""


@dataclass(frozen=True)
class Circuit:
    """What a generator made.

    ``build`` makes the component. ``loads`` are vectors that come first, to be followed by those
    that count. ``graph`` is None where there is none, ``seconds`` what it took. ``kept`` are
    modules that are mapped on their own, once each. ``reads`` has the inputs of each chip, if they
    are several: the circuit is then what each of them has of ``shape``.
    """

    build: Callable[[], Any]
    shape: Kernel
    graph: AdderGraph | None = None
    seconds: float = 0.0
    loads: np.ndarray | None = None
    kept: tuple[str, ...] = ()
    reads: tuple[tuple[int, ...], ...] = ()

    @property
    def chips(self) -> int:
        """How many have the circuit, each for a part of what there is to do."""
        return max(1, len(self.reads))

    @cached_property
    def block(self) -> Any:
        """The component, whose members ``i`` and ``o`` are arrays."""
        return self.build()

    @property
    def latency(self) -> int:
        """Cycles from a vector to its outputs."""
        block = self.block
        return (block.product if isinstance(block, Windowed) else block).latency

    @cached_property
    def sources(self) -> list[str]:
        """Verilog of module ``block``, and of what it needs."""
        shared = self.block.shared() if isinstance(self.block, _Loaded) else {}
        graph = self.graph
        text = component_verilog(self.block, "block", shared=shared, complete=graph is None)
        if graph is None:
            return [text]
        passing = any(row.passing for row in graph.rows)
        return [text, row_source(), *([passed_source()] if passing else [])]

    def mismatches(self, kind: Numbers, matrix: np.ndarray, seed: int) -> int:
        """Outputs in Verilator that differ from NumPy's, all cycles from a full window on."""
        low, high = kind.interval
        shape, history = self.shape, max(self.shape.delays)
        rng = np.random.default_rng(seed)
        x = rng.integers(low, high, (VECTORS + history, shape.inputs), endpoint=True)
        x[history], x[history + 1] = low, high
        given, out = self.block.i.shape(), self.block.o.shape()
        loads = np.zeros((0, given.length), np.int64) if self.loads is None else self.loads
        # All chips have the same circuit: one is simulated, with the vectors of each in turn.
        reads = self.reads or (range(shape.inputs),)
        taken = np.concatenate([x[:, list(own)] for own in reads])
        padded = np.pad(taken, ((0, 0), (0, given.length - taken.shape[1])))
        y = run_vectors(
            self.sources,
            np.concatenate([loads, padded]),
            input_bits=given.elem_shape.width,
            outputs=out.length,
            output_bits=out.elem_shape.width,
            signed=out.elem_shape.signed,
            latency=self.latency if self.latency or history else None,
        )
        golden = shape.golden(x, matrix)
        if kind.modulus_bits is not None:
            golden %= 1 << kind.modulus_bits
        made = np.hstack(np.split(y[len(loads) :], self.chips))
        return int((made[history:] != golden[history:]).sum())


def unrolled(graphs: Sequence[AdderGraph], shape: Kernel, seconds: float) -> Circuit:
    """Graphs for every copy, each for some of its outputs, without registers."""
    whole = replicated(graphs, len(shape.delays) * shape.inputs, shape.copies)
    return Circuit(lambda: _windowed(ConstantProduct(whole), shape), shape, whole, seconds)


def pipelined(
    graphs: Sequence[AdderGraph],
    shape: Kernel,
    seconds: float,
    *,
    room: int,
    chips: int | None = None,
) -> Circuit:
    """The same with registers behind each row and at the boundaries.

    The circuit is one of ``chips`` parts of ``shape``, or else of as few as do with ``room``
    flip-flops each.

    Raises
    ------
    UserError
        If there are no such parts.
    """
    graphs = [balanced(graph) for graph in graphs]
    part, reads, whole, chosen = _fitting(graphs, shape, room, chips)

    def build() -> Any:
        return _windowed(ConstantProduct(whole, stages=chosen, registered=True), part)

    return Circuit(build, shape, whole, seconds, reads=reads if part != shape else ())


def _fitting(
    graphs: Sequence[AdderGraph], shape: Kernel, room: int, chips: int | None
) -> tuple[Kernel, tuple[tuple[int, ...], ...], AdderGraph, tuple[int, ...]]:
    """One of ``chips`` parts of a kernel, or of as few as do with ``room`` flip-flops each; the
    inputs of each of them; the part's graph and stages."""
    counts = []
    for count in range(1, len(shape.copies) + 1):
        try:
            part, reads = shape.parts(count)
        except ValueError:
            continue
        counts.append(count)
        if chips is not None and count != chips:
            continue
        window = len(part.delays) * part.inputs
        whole = replicated(graphs, window, part.copies, _together(graphs, part))
        chosen = stages(whole, _TARGET, _DELAY)
        if ConstantProduct.registers_of(whole, chosen, True) <= room:
            return part, reads, whole, chosen
    raise UserError(
        f"kernel {shape.name}/{shape.size} does not fit {chips or 'any number of'} chips with "
        f"{room:,} flip-flops each; numbers that divide it evenly are "
        f"{', '.join(map(str, counts))}"
    )


def _together(graphs: Sequence[AdderGraph], shape: Kernel) -> int:
    """Graphs that read an input as one, as many as it reaches: a part of those of a copy, or of the
    copies of a line."""
    most = len(graphs) if len(graphs) > 1 else shape.line
    area = max(graph.area for graph in graphs)
    return max(k for k in range(1, most + 1) if most % k == 0 and (k == 1 or k * area <= _REACH))


def plain(shape: Kernel, matrix: np.ndarray, kind: Numbers) -> Circuit:
    """A sum of products, left to the mapper."""
    m = matrix.shape[1]
    whole = np.zeros((len(shape.delays) * shape.inputs, m * len(shape.copies)), np.int64)
    for k, copy in enumerate(shape.copies):
        whole[list(copy), k * m : (k + 1) * m] = matrix

    def build() -> Any:
        return _windowed(PlainProduct(whole, kind.interval, kind.modulus_bits), shape)

    return Circuit(build, shape)


def _windowed(product: Any, shape: Kernel) -> Any:
    return Windowed(product, shape.delays) if shape.delays != (0,) else product


def array(shape: Kernel, matrix: np.ndarray, kind: Numbers) -> Circuit:
    """A systolic array with multipliers of logic, into which the weights are loaded."""
    n, m = matrix.shape
    low, high = kind.interval
    least, most = kind.weights
    ends = [x * w for x in (low, high) for w in (least, most)]
    total = _shape(n * min(0, *ends), n * max(ends))

    def build() -> Any:
        return _Loaded(
            WeightStationary(
                n,
                m,
                activation=_shape(low, high),
                weight=_shape(least, most),
                total=total if kind.modulus_bits is None else Shape(kind.modulus_bits),
            )
        )

    loads = np.hstack([np.zeros((n, n), np.int64), matrix[::-1], np.ones((n, 1), np.int64)])
    return Circuit(build, shape, loads=loads, kept=WeightStationary.MODULES)


def _shape(low: int, high: int) -> Shape:
    bits = shape_of(low, high)
    return Shape(bits.width, bits.signed)


class _Loaded(wiring.Component):
    """An array whose weights, and whether they are loaded, come behind the vector's elements."""

    i: Any
    o: Any

    def __init__(self, array: WeightStationary):
        self._array, self.latency, self.shared = array, array.latency, array.shared
        x, w = array.i.shape(), array.w.shape()
        bits = max(x.elem_shape.width, w.elem_shape.width)
        super().__init__(
            {
                "i": In(data.ArrayLayout(Shape(bits), x.length + w.length + 1)),
                "o": Out(array.o.shape()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = self._array
        ports = [*(array.i[k] for k in range(array.i.shape().length))]
        ports += [*(array.w[k] for k in range(array.w.shape().length)), array.load]
        m.d.comb += [Value.cast(port).eq(self.i[k]) for k, port in enumerate(ports)]
        m.d.comb += self.o.eq(array.o)
        return m
