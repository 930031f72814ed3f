"""Windowed: a product that also reads earlier vectors of a stream."""

from collections.abc import Sequence
from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Windowed"]


class Windowed(wiring.Component):
    """Feeds a product with the present vector and some before it, one vector a cycle.

    Latency is the product's. Never stalls.

    Parameters
    ----------
    product
        With members ``i`` and ``o``; ``i`` holds the vectors of ``delays``, one after the other.
    delays
        Cycles before the present.

    Members
    -------
    i : one vector
    o : as the product's

    Raises
    ------
    ValueError
        If the vectors of ``delays`` do not fill ``product.i``.
    """

    i: Signal
    o: Signal

    def __init__(self, product: Any, delays: Sequence[int]):
        whole = product.i.shape()
        if not delays or whole.length % len(delays) or min(delays) < 0:
            raise ValueError(f"{whole.length} inputs cannot be vectors of {len(delays)} cycles")
        self.product, self._delays = product, tuple(delays)
        vector = data.ArrayLayout(whole.elem_shape, whole.length // len(delays))
        super().__init__({"i": In(vector), "o": Out(product.o.shape())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = self.product
        vectors = [Value.cast(self.i)]
        for step in range(max(self._delays)):
            later = Signal(len(vectors[0]), name=f"vector_{step + 1}", reset_less=True)
            m.d.sync += later.eq(vectors[-1])
            vectors.append(later)
        size = len(vectors[0])
        for place, delay in enumerate(self._delays):
            part = Value.cast(product.i)[place * size : (place + 1) * size]
            m.d.comb += part.eq(vectors[delay])
        m.d.comb += self.o.eq(product.o)
        return m
