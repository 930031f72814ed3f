"""Pool2: maxima over 2 by 2 pixels, of groups that come as vertical neighbours."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .group import group_layout

__all__ = ["Pool2"]


class Pool2(wiring.Component):
    """Passes groups on, or, where ``on`` is set, makes one group of maxima of every two.

    A group is a strip of ``lanes`` neighbouring pixels of one channel. After a cycle without
    ``on``, the first group is one of an even row, the second is the same strip a row below, and so
    on by turns. The second goes on as the maxima of 2 by 2 pixels, ``lanes / 2`` values in the low
    half of its data, under its own address and with half its count; the first does not go on.

    Initiation interval 1, latency :attr:`LATENCY`. Never stalls. ``on`` must hold while groups are
    under way.

    Parameters
    ----------
    lanes
        Values in a group, even.
    element_bits
        Width of a signed value, 8 or 16.
    address_bits
        Width of what travels with a group as its address.

    Members
    -------
    i, o : groups, never refused
    on : whether groups are pooled

    Raises
    ------
    ValueError
        If ``lanes`` or ``element_bits`` is none of those.
    """

    i: stream.Interface
    o: stream.Interface
    on: Signal

    LATENCY = 2

    def __init__(self, lanes: int, *, element_bits: int, address_bits: int):
        if lanes < 2 or lanes % 2:
            raise ValueError(f"lanes must be even and positive, not {lanes}")
        if element_bits not in (8, 16):
            raise ValueError(f"element_bits must be 8 or 16, not {element_bits}")
        self._lanes, self._bits = lanes, element_bits
        self._layout = group_layout(lanes, element_bits=element_bits, address_bits=address_bits)
        groups = stream.Signature(self._layout, always_ready=True)
        super().__init__({"i": In(groups), "o": Out(groups), "on": In(1)})

    def _larger(self, a, b):
        """Maxima of the values of two vectors."""
        width = self._bits
        count = len(a) // width
        pairs = [[v.word_select(i, width).as_signed() for v in (a, b)] for i in range(count)]
        return Cat(Mux(x > y, x, y)[:width] for x, y in pairs)

    def elaborate(self, platform):
        m = Module()
        width, half = self._bits, self._lanes // 2 * self._bits
        group = Signal(self._layout)
        across = Signal(self._layout, reset_less=True)
        down = Signal(self._layout, reset_less=True)
        valid = Signal()
        odd = Signal()
        leaves = Signal()
        above = Signal(half, reset_less=True)
        m.d.comb += group.eq(self.i.payload)

        values = [group.data.word_select(i, width) for i in range(self._lanes)]
        m.d.sync += [valid.eq(self.i.valid), across.eq(group)]
        with m.If(self.on):
            m.d.sync += [
                across.count.eq(group.count >> 1),
                across.data.eq(self._larger(Cat(values[::2]), Cat(values[1::2]))),
            ]

        m.d.sync += [leaves.eq(valid & (odd | ~self.on)), down.eq(across), odd.eq(self.on & odd)]
        with m.If(self.on & valid):
            m.d.sync += [
                odd.eq(~odd),
                above.eq(across.data[:half]),
                down.data.eq(self._larger(across.data[:half], above)),
            ]
        m.d.comb += [self.o.valid.eq(leaves), self.o.payload.eq(down)]
        return m
