"""Streamed: a product with constants between two streams."""

from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

__all__ = ["Streamed"]


class Streamed(wiring.Component):
    """Gives a product's outputs in the order of its inputs, whatever the streams' pauses.

    A vector is taken only if there is room for its outputs behind the product, so the product
    itself runs freely: no enable reaches its registers. Initiation interval 1, latency
    :attr:`latency` where nothing pauses.

    Parameters
    ----------
    product
        With members ``i`` and ``o`` and a fixed ``latency``, one vector a cycle.

    Members
    -------
    i : stream of vectors in the shape of ``product.i``
    o : stream of vectors in the shape of ``product.o``
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, product: Any):
        self._product = product
        # Full rate needs a credit for every cycle between taking a vector and giving its outputs.
        self._depth = self.latency + 1
        super().__init__(
            {
                "i": In(stream.Signature(product.i.shape())),
                "o": Out(stream.Signature(product.o.shape())),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a vector to its outputs, where nothing pauses."""
        return self._product.latency + 2

    def elaborate(self, platform):
        m = Module()
        m.submodules.product = product = self._product
        width = len(Value.cast(product.o))
        m.submodules.queue = queue = SyncFIFOBuffered(width=width, depth=self._depth)

        credits = Signal(range(self._depth + 1), init=self._depth)
        taken, given = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        m.d.sync += credits.eq(credits - taken + given)
        under_way = Signal(self._product.latency)
        arrived = under_way[-1] if len(under_way) else taken
        m.d.comb += [
            self.i.ready.eq(credits.any()),
            product.i.eq(self.i.payload),
            queue.w_en.eq(arrived),
            queue.w_data.eq(product.o),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
            Value.cast(self.o.payload).eq(queue.r_data),
        ]
        if len(under_way):
            m.d.sync += under_way.eq(Cat(taken, under_way[:-1]))
        return m
