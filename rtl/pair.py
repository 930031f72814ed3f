"""Pair: two int8 products with a factor in common, which one DSP slice can make."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Pair"]


class Pair(wiring.Component):
    """``p0 = a * b0`` and ``p1 = a * b1``, :attr:`LATENCY` cycles after the factors.

    This is the plain body; mappings to DSP slices replace the module of the same name, and keep
    its latency.

    Members
    -------
    a, b0, b1 : factors
    p0, p1 : products
    """

    a: Signal
    b0: Signal
    b1: Signal
    p0: Signal
    p1: Signal

    LATENCY = 2
    BITS = 8

    def __init__(self):
        factor, product = signed(self.BITS), signed(2 * self.BITS)
        super().__init__(
            {
                "a": In(factor),
                "b0": In(factor),
                "b1": In(factor),
                "p0": Out(product),
                "p1": Out(product),
            }
        )

    def elaborate(self, platform):
        m = Module()
        a = Signal.like(self.a, reset_less=True)
        m.d.sync += a.eq(self.a)
        for name, factor, product in (("b0", self.b0, self.p0), ("b1", self.b1, self.p1)):
            b = Signal.like(factor, name=name, reset_less=True)
            register = Signal(product.shape(), name=f"product_{name}", reset_less=True)
            m.d.sync += [b.eq(factor), register.eq(a * b)]
            m.d.comb += product.eq(register)
        return m
