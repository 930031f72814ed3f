"""PlainProduct: a matrix of constants times a vector, as a sum of products that a tool unfolds."""

import numpy as np
from amaranth import Module, Signal
from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .graph import shape_of

__all__ = ["PlainProduct"]


class PlainProduct(wiring.Component):
    """Products of a vector with a constant matrix, combinational, nothing shared or planned.

    Parameters
    ----------
    matrix
        Integers (inputs, outputs).
    interval
        Least and greatest value of all inputs.
    modulus_bits
        Outputs modulo 2 to this power, unsigned; None for whole ones.

    Members
    -------
    i, o : as of :class:`.product.ConstantProduct`
    """

    i: Signal
    o: Signal

    latency = 0

    def __init__(self, matrix: np.ndarray, interval: tuple[int, int], modulus_bits: int | None):
        self._matrix = np.asarray(matrix, np.int64)
        low, high = interval
        up, down = np.maximum(self._matrix, 0).sum(0), np.minimum(self._matrix, 0).sum(0)
        least, most = int((up * low + down * high).min()), int((up * high + down * low).max())
        whole = shape_of(min(least, 0), max(most, 0))
        out = Shape(max(1, whole.width), whole.signed)
        if modulus_bits is not None:
            out = Shape(modulus_bits)
        given = shape_of(low, high)
        n, m = self._matrix.shape
        super().__init__(
            {
                "i": In(data.ArrayLayout(Shape(given.width, given.signed), n)),
                "o": Out(data.ArrayLayout(out, m)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for k, column in enumerate(self._matrix.T):
            terms = [self.i[e] * int(c) for e, c in enumerate(column) if c]
            m.d.comb += self.o[k].eq(sum(terms[1:], terms[0]) if terms else 0)
        return m
