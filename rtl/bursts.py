"""Bursts: a transfer of many beats, cut into what one AXI4 burst may be."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, PAGE

__all__ = ["Bursts"]


class Bursts(wiring.Component):
    """Walks from ``address`` over ``beats`` beats in bursts of up to 256 that keep inside a page.

    Members
    -------
    address, beats : the transfer, in bytes (aligned to a beat) and beats, to be there a cycle
        before ``walks``
    walks : the transfer is on hand; low for a cycle before another one
    step : the burst on offer is accepted
    valid : there is a burst on offer, :attr:`LATENCY` cycles after ``walks`` or the one before it
    at, length : address and beats (less one) of the burst on offer
    last : it is the transfer's last
    """

    address: Signal
    beats: Signal
    walks: Signal
    step: Signal
    valid: Signal
    at: Signal
    length: Signal
    last: Signal

    LATENCY = 2

    def __init__(self, beat_bytes: int):
        self._beat_bytes = beat_bytes
        super().__init__(
            {
                "address": In(ADDRESS_BITS),
                "beats": In(24),
                "walks": In(1),
                "step": In(1),
                "valid": Out(1),
                "at": Out(ADDRESS_BITS),
                "length": Out(8),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        page_beats = PAGE // self._beat_bytes
        most = min(256, page_beats)
        shift = (self._beat_bytes - 1).bit_length()
        left, remaining = Signal(24), Signal(24)
        room = Signal(range(most + 1))
        size = Signal(range(most + 1))
        last = Signal()
        place = Signal(range(page_beats))
        m.d.comb += [place.eq(self.at[shift:]), self.length.eq(size - 1), self.last.eq(last)]
        known = Signal(self.LATENCY)
        m.d.sync += [
            room.eq(Mux(page_beats - place < most, page_beats - place, most)),
            size.eq(Mux(left < room, left, room)),
            last.eq(left <= room),
            remaining.eq(left - room),
            known.eq(Mux(self.walks & ~self.step, Cat(1, known), 0)),
        ]
        m.d.comb += self.valid.eq(known[-1])
        with m.If(~self.walks):
            m.d.sync += [self.at.eq(self.address), left.eq(self.beats)]
        with m.Elif(self.step):
            m.d.sync += [self.at.eq(self.at + (size << shift)), left.eq(remaining)]
        return m
