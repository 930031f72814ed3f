"""Bursts: a transfer of many beats, cut into what one AXI4 burst may be."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, PAGE

__all__ = ["Bursts"]


class Bursts(wiring.Component):
    """Walks from ``address`` over ``beats`` beats in bursts of up to 256 that keep inside a page.

    Members
    -------
    address, beats : the transfer, in bytes (aligned to a beat) and beats
    step : the burst on offer is accepted
    at, length : address and beats (less one) of the burst on offer
    last : it is the transfer's last; with ``step`` the next transfer begins
    """

    address: Signal
    beats: Signal
    step: Signal
    at: Signal
    length: Signal
    last: Signal

    def __init__(self, beat_bytes: int):
        self._beat_bytes = beat_bytes
        super().__init__(
            {
                "address": In(ADDRESS_BITS),
                "beats": In(24),
                "step": In(1),
                "at": Out(ADDRESS_BITS),
                "length": Out(8),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        most = min(256, PAGE // self._beat_bytes)
        shift = (self._beat_bytes - 1).bit_length()
        done = Signal(24)
        left = Signal(24)
        room = Signal(range(most + 1))
        size = Signal(range(most + 1))
        page_beats = PAGE // self._beat_bytes
        place = Signal(range(page_beats))
        m.d.comb += [
            self.at.eq(self.address + (done << shift)),
            left.eq(self.beats - done),
            place.eq(self.at[shift:]),
            room.eq(Mux(page_beats - place < most, page_beats - place, most)),
            size.eq(Mux(left < room, left, room)),
            self.length.eq(size - 1),
            self.last.eq(left <= room),
        ]
        with m.If(self.step):
            m.d.sync += done.eq(Mux(self.last, 0, done + size))
        return m
