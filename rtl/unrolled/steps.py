"""Stepped: monotone functions of integers, each found by a binary search over its steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .graph import shape_of

__all__ = ["Stepped", "Steps"]


@dataclass(frozen=True)
class Steps:
    """``low`` plus the number of ``thresholds``, which ascend, that ``x`` reaches."""

    low: int
    thresholds: tuple[int, ...]

    def __call__(self, x: int) -> int:
        return self.low + sum(x >= t for t in self.thresholds)

    @property
    def high(self) -> int:
        """The greatest value."""
        return self.low + len(self.thresholds)


class Stepped(wiring.Component):
    """A function for each element, whatever requantisation, clamp or table it was before.

    A bit of the result takes a stage: a comparison with one of the thresholds, which the bits
    before it choose. Initiation interval 1, latency :attr:`latency`; never stalls.

    Parameters
    ----------
    shape
        Of an element of ``i``.
    functions
        Of each element.

    Members
    -------
    i : one value for each function
    o : one value for each, all in the shape that holds every result
    """

    i: Signal
    o: Signal

    def __init__(self, shape: Shape, functions: Sequence[Steps]):
        self._functions, self._shape = tuple(functions), shape
        self._stages = max(len(f.thresholds).bit_length() for f in self._functions)
        held = shape_of(min(f.low for f in functions), max(f.high for f in functions))
        self._out = Shape(max(1, held.width), held.signed)
        super().__init__(
            {
                "i": In(data.ArrayLayout(shape, len(self._functions))),
                "o": Out(data.ArrayLayout(self._out, len(functions))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from ``i`` to ``o``."""
        return self._stages + 1

    def elaborate(self, platform):
        m = Module()
        for k, function in enumerate(self._functions):
            found = self._search(m, k, function)
            y = Signal(self._out, name=f"y_{k}", reset_less=True)
            m.d.sync += y.eq(found + function.low)
            m.d.comb += self.o[k].eq(y)
        return m

    def _search(self, m: Module, k: int, function: Steps) -> Value:
        """How many thresholds element ``k`` reaches, after all stages."""
        shape, thresholds = self._shape, function.thresholds
        x: Value = self.i[k]
        bits: list[Value] = []  # highest first
        for stage in range(self._stages):
            weight = self._stages - 1 - stage
            bound = Signal(shape, name=f"bound_{k}_{stage}")
            reachable = Signal(name=f"reachable_{k}_{stage}")
            for prefix in range(1 << stage):
                place = ((2 * prefix + 1) << weight) - 1
                if place < len(thresholds):
                    with m.If(Cat(*reversed(bits)) == prefix if bits else Const(1)):
                        m.d.comb += [bound.eq(thresholds[place]), reachable.eq(1)]
            bit = Signal(name=f"bit_{k}_{stage}")
            m.d.comb += bit.eq(reachable & (x >= bound))
            later = Signal(shape, name=f"x_{k}_{stage}", reset_less=True)
            kept = Signal(stage + 1, name=f"bits_{k}_{stage}", reset_less=True)
            m.d.sync += [later.eq(x), kept.eq(Cat(bit, *reversed(bits)))]
            x, bits = later, list(reversed(list(kept)))
        return Cat(*reversed(bits)) if bits else Const(0, 1)
