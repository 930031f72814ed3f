"""Exponential: powers of e up to one, as a mantissa and a number of octaves."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .memory import Memory

__all__ = ["Exponential"]

LOG2_E = 189097
"""log2(e) * 2**17, rounded."""

SEGMENT_BITS = 7
WITHIN_BITS = 16 - SEGMENT_BITS
MOST_OCTAVES = 31

LOOKED_UP = 4
"""Stages before the table."""


class Exponential(wiring.Component):
    """``exp((i - largest) / 2**fraction_bits) = mantissa / 2**FRACTION / 2**octaves``.

    The arithmetic is that of :class:`gen.graph.RowSoftmax`, ``e`` and ``w`` there: multiplied by
    log2(e), then 2**-fraction by linear interpolation in 128 segments.

    Initiation interval 1, latency :attr:`LATENCY`. Never stalls. Two multipliers, of 16 by 18 and
    13 by 9 bits. ``fraction_bits`` must hold while values are under way.

    Members
    -------
    i, largest : int16, ``i <= largest``; for a larger one, anything comes out
    fraction_bits : of both
    mantissa : from half to one, :attr:`FRACTION` fraction bits
    octaves : at most 31, which stands for any more too
    """

    i: Signal
    largest: Signal
    fraction_bits: Signal
    mantissa: Signal
    octaves: Signal

    FRACTION = 20
    LATENCY = LOOKED_UP + 4
    MULTIPLIERS = 2

    def __init__(self):
        super().__init__(
            {
                "i": In(signed(16)),
                "largest": In(signed(16)),
                "fraction_bits": In(4),
                "mantissa": Out(self.FRACTION + 1),
                "octaves": Out(5),
            }
        )

    def _segments(self) -> tuple[data.StructLayout, list[int]]:
        """Of each segment, its first value and how far it falls to the next; as memory words."""
        segments = 1 << SEGMENT_BITS
        points = [round(2 ** (self.FRACTION - j / segments)) for j in range(segments + 1)]
        falls = [points[j] - points[j + 1] for j in range(segments)]
        first_bits = self.FRACTION + 1
        layout = data.StructLayout({"first": first_bits, "fall": max(falls).bit_length()})
        return layout, [points[j] | falls[j] << first_bits for j in range(segments)]

    def elaborate(self, platform):
        m = Module()
        difference = Signal(16, reset_less=True)
        product = Signal(len(difference) + LOG2_E.bit_length(), reset_less=True)
        product_late = Signal.like(product)
        exponent = Signal(len(product) - 1, reset_less=True)
        m.d.sync += [
            difference.eq(self.largest - self.i),
            product.eq(difference * LOG2_E),
            product_late.eq(product),
            exponent.eq(product_late[1:] >> self.fraction_bits),
        ]

        layout, words = self._segments()
        m.submodules.table = table = Memory(
            layout.size, depth=len(words), init=words, writable=False
        )
        segment = Signal(layout)
        octaves = Signal(5)
        m.d.comb += [
            table.read_address.eq(exponent[WITHIN_BITS:16]),
            segment.eq(table.read_data),
            octaves.eq(Mux(exponent[16:] > MOST_OCTAVES, MOST_OCTAVES, exponent[16:])),
        ]
        within = delayed(m, exponent[:WITHIN_BITS], table.latency, "within")
        first = Signal(len(segment.first), reset_less=True)
        fall = Signal(len(segment.fall) + WITHIN_BITS, reset_less=True)
        mantissa = Signal(len(self.mantissa), reset_less=True)
        m.d.sync += [
            first.eq(segment.first),
            fall.eq(segment.fall * within),
            mantissa.eq(first - (fall >> WITHIN_BITS)),
        ]
        m.d.comb += [
            self.mantissa.eq(mantissa),
            self.octaves.eq(delayed(m, octaves, self.LATENCY - LOOKED_UP, "octaves_late")),
        ]
        return m
