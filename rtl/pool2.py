"""Pool2: maxima over 2 by 2 pixels, of groups that come row after row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for
from .group import group_layout

__all__ = ["Pool2"]


class Pool2(wiring.Component):
    """Passes groups on, or, where ``on`` is set, makes one group of maxima of every two.

    A group is a strip of ``lanes`` neighbouring pixels of one channel. After a cycle without
    ``on``, the first ``row + 1`` groups are of an even row, then come the same strips a row below,
    and so on by turns. Those below go on as the maxima of 2 by 2 pixels, ``lanes / 2`` values in
    the low half of its data, under their own address and with half their count; those above do not
    go on.

    Initiation interval 1, latency :attr:`LATENCY`. Never stalls. ``on`` and ``row`` must hold while
    groups are under way.

    Parameters
    ----------
    lanes
        Values in a group, even.
    element_bits
        Width of a signed value, 8 or 16.
    address_bits
        Width of what travels with a group as its address.
    strips
        Groups of the longest row.

    Members
    -------
    i, o : groups, never refused
    on : whether groups are pooled
    row : groups of a row less one

    Raises
    ------
    ValueError
        If ``lanes`` or ``element_bits`` is none of those, or there are no ``strips``.
    """

    i: stream.Interface
    o: stream.Interface
    on: Signal
    row: Signal

    LATENCY = 2

    def __init__(self, lanes: int, *, element_bits: int, address_bits: int, strips: int):
        if lanes < 2 or lanes % 2:
            raise ValueError(f"lanes must be even and positive, not {lanes}")
        if element_bits not in (8, 16):
            raise ValueError(f"element_bits must be 8 or 16, not {element_bits}")
        if strips < 1:
            raise ValueError(f"strips must be at least 1, not {strips}")
        self._lanes, self._bits, self._strips = lanes, element_bits, strips
        self._layout = group_layout(lanes, element_bits=element_bits, address_bits=address_bits)
        groups = stream.Signature(self._layout, always_ready=True)
        row = {"row": In(bits_for(strips))}
        super().__init__({"i": In(groups), "o": Out(groups), "on": In(1)} | row)

    def _larger(self, a, b):
        """Maxima of the values of two vectors."""
        width = self._bits
        count = len(a) // width
        pairs = [[v.word_select(i, width).as_signed() for v in (a, b)] for i in range(count)]
        return Cat(Mux(x > y, x, y)[:width] for x, y in pairs)

    def _above(self, m: Module, strip: Signal, write, maxima) -> Signal:
        """What was written of the same strip, of the row above."""
        above = Signal(len(maxima), reset_less=True)
        if self._strips == 1:
            with m.If(write):
                m.d.sync += above.eq(maxima)
            return above
        m.submodules.rows = rows = memory.Memory(shape=len(maxima), depth=self._strips, init=[])
        port, read = rows.write_port(), rows.read_port(domain="comb")
        m.d.comb += [
            Cat(port.addr, port.data, port.en).eq(Cat(strip, maxima, write)),
            read.addr.eq(strip),
            above.eq(read.data),
        ]
        return above

    def elaborate(self, platform):
        m = Module()
        width, half = self._bits, self._lanes // 2 * self._bits
        group = Signal(self._layout)
        across = Signal(self._layout, reset_less=True)
        down = Signal(self._layout, reset_less=True)
        valid = Signal()
        odd = Signal()
        leaves = Signal()
        strip = Signal.like(self.row)
        ends_row = Signal()
        above = self._above(m, strip, self.on & valid, across.data[:half])
        m.d.comb += group.eq(self.i.payload)

        values = [group.data.word_select(i, width) for i in range(self._lanes)]
        m.d.sync += [valid.eq(self.i.valid), across.eq(group)]
        with m.If(self.on):
            m.d.sync += [
                across.count.eq(group.count >> 1),
                across.data.eq(self._larger(Cat(values[::2]), Cat(values[1::2]))),
            ]

        m.d.sync += [leaves.eq(valid & (odd | ~self.on)), down.eq(across), odd.eq(self.on & odd)]
        m.d.comb += ends_row.eq(strip == self.row)
        with m.If(~self.on):
            m.d.sync += strip.eq(0)
        with m.Elif(valid):
            m.d.sync += [
                odd.eq(odd ^ ends_row),
                strip.eq(Mux(ends_row, 0, strip + 1)),
                down.data.eq(self._larger(across.data[:half], above)),
            ]
        m.d.comb += [self.o.valid.eq(leaves), self.o.payload.eq(down)]
        return m
