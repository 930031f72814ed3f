"""Row softmax of int16: exponentials of a row, divided by their sum."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for
from .delay import delayed
from .exponential import Exponential
from .group import group_layout
from .memory import Memory
from .reciprocal import Reciprocal
from .rowcollect import RowCollect

__all__ = ["RowSoftmax"]

SUM_FRACTION = 28
RECIPROCAL_BITS = 18
POWER_BITS = 17
OCTAVE_BITS = 5

FETCH = RowCollect.READ + 1
"""Cycles from a slot's turn in the first scan to its value, in a shift register."""

SUM = FETCH + Exponential.LATENCY + 3
"""Cycles from a slot's turn in the first scan to a sum that includes it: shifted twice, added."""

DIVIDE = Reciprocal.latency(RECIPROCAL_BITS) - 2
"""Cycles from a complete sum to the second scan, whose memory takes two more."""

QUOTIENT = 6
"""Cycles from a slot's turn in the second scan to its quotient: memory, product, shift, round."""


class RowSoftmax(wiring.Component):
    """Collects rows of groups, then sends the same groups on with their values replaced.

    The arithmetic is that of :class:`gen.graph.RowSoftmax`. A row is scanned twice, a value slot a
    cycle: for the sum of its exponentials, and for their quotients. While one row's quotients
    leave, the next row's exponentials are summed, and the rows after that are collected.

    A row is ``done`` :meth:`latency` cycles after its last group or :meth:`interval` cycles after
    the row before it, whichever is later. ``groups`` and ``fraction_bits`` must hold while rows are
    under way. Three multipliers, of 16 by 18, 13 by 9 and 17 by 18 bits.

    Parameters
    ----------
    lanes
        Values in a group.
    groups
        Groups in the longest row.
    address_bits
        Width of what travels with a group as its address.
    rows
        How many rows may be between their first group and ``done``: 2, 4, 8 or 16.

    Members
    -------
    i : groups, never refused, at most ``rows`` rows under way
    o : the same groups in the same order; what lies beyond a group's count may be anything
    groups : groups of the row less one
    fraction_bits : of the int16 input
    done : a row's last group leaves in this cycle

    Raises
    ------
    ValueError
        If a size is out of range.
    """

    i: stream.Interface
    o: stream.Interface
    groups: Signal
    fraction_bits: Signal
    done: Signal

    MULTIPLIERS = Exponential.MULTIPLIERS + 1

    def __init__(self, lanes: int, *, groups: int, address_bits: int, rows: int = 2):
        for name, value in (("lanes", lanes), ("groups", groups)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if rows not in (2, 4, 8, 16):
            raise ValueError(f"rows must be 2, 4, 8 or 16, not {rows}")
        self._lanes, self._groups, self._rows = lanes, groups, rows
        self._layout = group_layout(lanes, element_bits=16, address_bits=address_bits)
        rows_of_groups = stream.Signature(self._layout, always_ready=True)
        super().__init__(
            {
                "i": In(rows_of_groups),
                "o": Out(rows_of_groups),
                "groups": In(bits_for(groups)),
                "fraction_bits": In(4),
                "done": Out(1),
            }
        )

    @staticmethod
    def latency(lanes: int, groups: int) -> int:
        """Cycles from a row's last group to ``done``, where no row is before it."""
        return RowCollect.latency(lanes) + 2 * lanes * groups + SUM + DIVIDE + QUOTIENT - 1

    @staticmethod
    def interval(lanes: int, groups: int) -> int:
        """Cycles from ``done`` to ``done`` of rows that never have to be waited for."""
        return lanes * groups + max(SUM, DIVIDE)

    def elaborate(self, platform):
        m = Module()
        slot_bits = bits_for(self._groups * self._lanes)
        m.submodules.collect = collect = RowCollect(
            self._layout, groups=self._groups, rows=self._rows
        )
        m.submodules.powers = powers = Memory(POWER_BITS + OCTAVE_BITS, depth=2 << slot_bits)
        m.submodules.reciprocal = reciprocal = Reciprocal(
            SUM_FRACTION + 1 + slot_bits,
            dividend_bits=SUM_FRACTION + RECIPROCAL_BITS,
            quotient_bits=RECIPROCAL_BITS,
        )
        # A sum that is complete stays until the second scan takes its row.
        complete = Signal()
        m.d.comb += [
            collect.i.valid.eq(self.i.valid),
            collect.i.payload.eq(self.i.payload),
            collect.groups.eq(self.groups),
        ]
        self._sum(m, collect, powers, reciprocal, complete)
        self._divide(m, collect, powers, reciprocal, complete)
        return m

    def _scan(self, m: Module, start, name: str):
        """Gives each slot of a row its turn, from the cycle after ``start`` on.

        Returns whether a slot has its turn, its group, whether it is the group's first, the group's
        last, and the row's last.
        """
        on = Signal(name=f"{name}_on")
        entry = Signal(bits_for(self._groups), name=f"{name}_entry")
        lane = Signal(bits_for(self._lanes), name=f"{name}_lane")
        ends = Signal(name=f"{name}_ends")
        last = lane == self._lanes - 1
        m.d.comb += ends.eq(on & last & (entry == self.groups))
        with m.If(on):
            m.d.sync += lane.eq(Mux(last, 0, lane + 1))
            with m.If(last):
                m.d.sync += entry.eq(Mux(ends, 0, entry + 1))
            with m.If(ends):
                m.d.sync += on.eq(0)
        with m.If(start):
            m.d.sync += on.eq(1)
        return on, entry, lane == 0, on & last, ends

    def _sum(self, m: Module, collect, powers, reciprocal, complete) -> None:
        """First scan: a row's exponentials, stored and summed."""
        working = Signal()
        on, entry, first, _, ends = self._scan(m, collect.take, "sum")
        m.d.comb += [
            collect.take.eq(collect.ready & (~working | reciprocal.start)),
            collect.slot_entry.eq(entry),
        ]
        m.d.sync += working.eq(collect.take | (working & ~reciprocal.start))
        row = Signal.like(collect.slot_row)
        m.d.sync += row.eq(row + ends)
        m.d.comb += collect.slot_row.eq(row)

        slots = Signal(len(collect.slots), reset_less=True)
        loads = delayed(m, first, collect.READ, "loads")
        m.d.sync += slots.eq(Mux(loads, collect.slots, slots >> 17))
        m.submodules.exponential = exponential = Exponential()
        m.d.comb += [
            exponential.i.eq(slots[:16]),
            exponential.largest.eq(collect.largest),
            exponential.fraction_bits.eq(self.fraction_bits),
        ]
        counts = delayed(m, slots[16], Exponential.LATENCY, "counts")
        control = delayed(m, Cat(on, ends), FETCH + Exponential.LATENCY, "power", control=True)

        slot = Signal(bits_for(self._groups * self._lanes))
        bank = Signal()
        cut = Exponential.FRACTION + 1 - POWER_BITS
        power = ((exponential.mantissa + (1 << cut >> 1)) >> cut)[:POWER_BITS]
        m.d.comb += [
            powers.write_enable.eq(control[0]),
            powers.write_address.eq(Cat(slot, bank)),
            powers.write_data.eq(Cat(power, exponential.octaves)),
        ]
        with m.If(control[0]):
            m.d.sync += [slot.eq(Mux(control[1], 0, slot + 1)), bank.eq(bank ^ control[1])]

        coarse = Signal(SUM_FRACTION + 1, reset_less=True)
        fine = Signal.like(coarse)
        total = Signal(len(reciprocal.divisor), reset_less=True)
        fresh = Signal(init=1)
        octaves = exponential.octaves
        wide = Mux(counts, exponential.mantissa, 0) << (SUM_FRACTION - Exponential.FRACTION)
        m.d.sync += [
            coarse.eq(wide >> Cat(Const(0, 3), octaves[3:])),
            fine.eq(coarse >> delayed(m, octaves[:3], 1, "fine_shift")),
        ]
        adds, ends = delayed(m, control, 2, "added", control=True)
        with m.If(adds):
            m.d.sync += [total.eq(Mux(fresh, 0, total) + fine), fresh.eq(ends)]
        m.d.sync += complete.eq(ends | (complete & ~reciprocal.start))
        m.d.comb += reciprocal.divisor.eq(total)

    def _divide(self, m: Module, collect, powers, reciprocal, complete) -> None:
        """Second scan, once the reciprocal is there: a row's quotients, joined to groups."""
        working = Signal()
        pause = Signal(bits_for(DIVIDE))
        on, entry, _, last, ends = self._scan(m, pause == 1, "quotient")
        m.d.comb += reciprocal.start.eq(complete & ~working)
        m.d.sync += [
            working.eq(reciprocal.start | (working & ~ends)),
            pause.eq(Mux(reciprocal.start, DIVIDE - 1, Mux(pause == 0, 0, pause - 1))),
        ]
        row = Signal.like(collect.head_row)
        slot = Signal(bits_for(self._groups * self._lanes))
        bank = Signal()
        m.d.sync += [slot.eq(Mux(ends, 0, slot + on)), bank.eq(bank ^ ends), row.eq(row + ends)]
        m.d.comb += powers.read_address.eq(Cat(slot, bank))

        power, octaves = powers.read_data[:POWER_BITS], powers.read_data[POWER_BITS:]
        product = Signal(POWER_BITS + RECIPROCAL_BITS, reset_less=True)
        product_late = Signal.like(product)
        shifted = Signal(16, reset_less=True)
        quotient = Signal(16, reset_less=True)
        rounded = (shifted + 1)[1:]
        m.d.sync += [
            product.eq(power * reciprocal.o),
            product_late.eq(product),
            shifted.eq(product_late[RECIPROCAL_BITS:] >> delayed(m, octaves, 2, "octaves")),
            quotient.eq(rounded - rounded[15]),
        ]

        early = Cat(last, ends, entry, row)
        early = delayed(m, early, QUOTIENT - collect.READ, "head", control=True)
        leaves = delayed(m, early[:2], collect.READ, "leaves", control=True)
        joined = Signal(16 * self._lanes, reset_less=True)
        whole = Cat(joined, quotient)[16:]
        out = Signal(self._layout)
        m.d.sync += joined.eq(whole)
        m.d.comb += [
            Cat(collect.head_entry, collect.head_row).eq(early[2:]),
            out.eq(Cat(collect.head, whole)),
            self.o.payload.eq(out),
            self.o.valid.eq(leaves[0]),
            self.done.eq(leaves[1]),
        ]
