"""WeightStationary: a systolic product whose weights are loaded, to compare unrolled ones with."""

from typing import Any

from amaranth import ClockSignal, Instance, Module, Signal, Value
from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Cell", "WeightStationary"]


class Cell(wiring.Component):
    """A product, and the sum of those above it, of a weight that is moved down to be loaded.

    Members
    -------
    load, w, w_o : takes the weight of the cell above
    x, x_o : activations, a cycle later to the right
    above : the sum so far; not there in the first row
    total : the sum with this product, a cycle later
    """

    load: Signal
    w: Signal
    w_o: Signal
    x: Signal
    x_o: Signal
    above: Signal
    total: Signal

    def __init__(self, *, activation: Shape, weight: Shape, total: Shape, first: bool):
        self._first = first
        super().__init__(
            {
                "load": In(1),
                "w": In(weight),
                "w_o": Out(weight),
                "x": In(activation),
                "x_o": Out(activation),
                "total": Out(total),
            }
            | ({} if first else {"above": In(total)})
        )

    def elaborate(self, platform):
        m = Module()
        weight = Signal.like(self.w, reset_less=True)
        right = Signal.like(self.x, reset_less=True)
        total = Signal.like(self.total, reset_less=True)
        product = self.x * weight
        with m.If(self.load):
            m.d.sync += weight.eq(self.w)
        m.d.sync += [
            right.eq(self.x),
            total.eq(product if self._first else product + self.above),
        ]
        m.d.comb += [self.w_o.eq(weight), self.x_o.eq(right), self.total.eq(total)]
        return m


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

    MODULES = ("first_cell", "cell")
    """Of the first row, and of the others."""

    def __init__(self, rows: int, cols: int, *, activation: Shape, weight: Shape, total: Shape):
        self._rows, self._cols = rows, cols
        self._activation, self._weight, self._total = activation, weight, total
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

    def shared(self) -> dict[str, Cell]:
        """The cells by the names of their modules, which the Verilog holds once each."""
        shapes = {"activation": self._activation, "weight": self._weight, "total": self._total}
        return {name: Cell(**shapes, first=k == 0) for k, name in enumerate(self.MODULES)}

    def elaborate(self, platform):
        m = Module()

        def later(value, name: str, cycles: int):
            for _ in range(cycles):
                held = Signal(value.shape(), name=name, reset_less=True)
                m.d.sync += held.eq(value)
                value = held
            return value

        weights = [Value.cast(self.w[c]) for c in range(self._cols)]
        sums: list[Signal] = []
        for r in range(self._rows):
            x = later(self.i[r], f"skew_{r}", r)
            above, sums = sums, []
            for c in range(self._cols):
                right = Signal(self._activation, name=f"x_{r}_{c}")
                weight = Signal(self._weight, name=f"weight_{r}_{c}")
                total = Signal(self._total, name=f"sum_{r}_{c}")
                m.submodules[f"cell_{r}_{c}"] = Instance(
                    self.MODULES[min(r, 1)],
                    i_clk=ClockSignal(),
                    i_load=self.load,
                    i_w=weights[c],
                    o_w_o=weight,
                    i_x=x,
                    o_x_o=right,
                    o_total=total,
                    **({"i_above": above[c]} if r else {}),
                )
                x, weights[c] = right, weight
                sums.append(total)
        for c, total in enumerate(sums):
            m.d.comb += self.o[c].eq(later(total, f"whole_{c}", self._cols - 1 - c))
        return m
