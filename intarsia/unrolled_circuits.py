"""The circuits of the benchmark of unrolled layers, and what they give in Verilator."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth import Module, Value
from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen.emit import component_verilog
from gen.unrolled.balanced import balanced
from gen.unrolled.kernels import Kernel, Numbers, replicated
from gen.unrolled.stages import Delay, stages
from rtl.unrolled.graph import AdderGraph, shape_of
from rtl.unrolled.plain import PlainProduct
from rtl.unrolled.product import ConstantProduct, passed_source, row_source
from rtl.unrolled.systolic import WeightStationary
from rtl.unrolled.window import Windowed
from sim.vectors import run_vectors

__all__ = ["Circuit", "array", "plain", "unrolled"]

VECTORS = 200
_DELAY, _TARGET = Delay(row=1.0, bit=0.0), 1.0
"""A row a stage, for the highest clock."""
_REACH = 4500
"""Tables among which an input goes in one cycle."""


@dataclass(frozen=True)
class Circuit:
    """What a generator made.

    ``build`` makes the component. ``loads`` are vectors that come first, to be followed by those
    that count. ``graph`` is None where there is none, ``seconds`` what it took. ``kept`` are
    modules that are mapped on their own, once each.
    """

    build: Callable[[], Any]
    shape: Kernel
    graph: AdderGraph | None = None
    seconds: float = 0.0
    loads: np.ndarray | None = None
    kept: tuple[str, ...] = ()

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
        padded = np.pad(x, ((0, 0), (0, given.length - shape.inputs)))
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
        return int((y[len(loads) + history :] != golden[history:]).sum())


def unrolled(graph: AdderGraph, shape: Kernel, seconds: float, *, pipelined: bool) -> Circuit:
    """A graph for every copy; with registers behind each row and at the boundaries if wanted."""
    if pipelined:
        graph = balanced(graph)
    together = _together(graph, shape) if pipelined else None
    whole = replicated(graph, len(shape.delays) * shape.inputs, shape.copies, together)
    chosen = stages(whole, _TARGET, _DELAY) if pipelined else None

    def build() -> Any:
        return _windowed(ConstantProduct(whole, stages=chosen, registered=pipelined), shape)

    return Circuit(build, shape, whole, seconds)


def _together(graph: AdderGraph, shape: Kernel) -> int:
    """Copies that read an input as one: a part of a line, as many as an input reaches."""
    parts = (k for k in range(1, shape.line + 1) if shape.line % k == 0)
    return max((k for k in parts if k * graph.area <= _REACH), default=1)


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
