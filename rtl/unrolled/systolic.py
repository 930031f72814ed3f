"""WeightStationary: a systolic product whose weights are loaded, to compare unrolled ones with."""

from typing import Any

from amaranth import Module, Signal
from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WeightStationary"]


class WeightStationary(wiring.Component):
    """Products of a vector with a matrix that stays in the array (Kung 1982).

    Activations move right, sums move down, each a cell a cycle; registers at the edges skew them,
    so that vectors come and go whole. One vector a cycle, latency :attr:`latency`; never stalls.

    Parameters
    ----------
    rows, cols
        Inputs and outputs.
    activation, weight, total
        Shapes of an input, a weight and a sum; sums are cut to theirs.

    Members
    -------
    load : moves all weights a row down and takes ``w`` into the first, so that the last row of the
        matrix comes first
    w : a row of weights
    i : one vector
    o : its product with the weights, all of which must be there when the vector comes
    """

    load: Signal
    w: Any
    i: Any
    o: Any

    def __init__(self, rows: int, cols: int, *, activation: Shape, weight: Shape, total: Shape):
        self._rows, self._cols, self._total = rows, cols, total
        super().__init__(
            {
                "load": In(1),
                "w": In(data.ArrayLayout(weight, cols)),
                "i": In(data.ArrayLayout(activation, rows)),
                "o": Out(data.ArrayLayout(total, cols)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a vector to its product."""
        return self._rows + self._cols - 1

    def elaborate(self, platform):
        m = Module()

        def later(value, name: str, cycles: int = 1):
            for _ in range(cycles):
                held = Signal(value.shape(), name=name, reset_less=True)
                m.d.sync += held.eq(value)
                value = held
            return value

        above = [self.w[c] for c in range(self._cols)]
        sums: list[Signal] = []
        for r in range(self._rows):
            x = later(self.i[r], f"skew_{r}", r)
            for c in range(self._cols):
                weight = Signal(self.w[c].shape(), name=f"weight_{r}_{c}", reset_less=True)
                with m.If(self.load):
                    m.d.sync += weight.eq(above[c])
                above[c] = weight
                total = Signal(self._total, name=f"sum_{r}_{c}", reset_less=True)
                m.d.sync += total.eq(x * weight + (sums[c] if r else 0))
                sums[c:] = [total, *sums[c + 1 :]]
                x = later(x, f"x_{r}_{c}")
        for c, total in enumerate(sums):
            m.d.comb += self.o[c].eq(later(total, f"whole_{c}", self._cols - 1 - c))
        return m
