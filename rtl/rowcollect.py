"""RowCollect: rows of int16 groups, and the largest value of each."""

from amaranth import Array as Choice
from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for
from .delay import delayed
from .memory import Memory

__all__ = ["RowCollect"]

LOW = -(1 << 15)


class RowCollect(wiring.Component):
    """Stores groups of rows in a ring of ``rows`` rows, and announces each row that is complete.

    A row is ``ready`` :meth:`latency` cycles after its last group. Reads take :attr:`READ` cycles.

    Parameters
    ----------
    layout
        Of a group, from :func:`rtl.group.group_layout` with values of 16 bits.
    groups, rows
        Groups in the longest row; rows in the ring, a power of two.

    Members
    -------
    i : groups, never refused; a row must not come round to one that is still read
    groups : groups of the row less one
    ready : a complete row waits to be taken
    take : takes it; :attr:`largest` is its largest value from the next cycle on
    slot_entry, slot_row : group to be read, and its row in the ring
    slots : its values of 16 bits, each with a bit above that says whether it counts
    head_entry, head_row : as for ``slots``, independently
    head : the group's address and count
    """

    i: stream.Interface
    groups: Signal
    ready: Signal
    take: Signal
    largest: Signal
    slot_entry: Signal
    slot_row: Signal
    slots: Signal
    head_entry: Signal
    head_row: Signal
    head: Signal

    READ = 2

    def __init__(self, layout: data.StructLayout, *, groups: int, rows: int):
        self._layout, self._rows = layout, rows
        self._lanes = layout["data"].width // 16
        entry, row = bits_for(groups), bits_for(rows)
        super().__init__(
            {
                "i": In(stream.Signature(layout, always_ready=True)),
                "groups": In(entry),
                "ready": Out(1),
                "take": In(1),
                "largest": Out(signed(16)),
                "slot_entry": In(entry),
                "slot_row": In(row),
                "slots": Out(17 * self._lanes),
                "head_entry": In(entry),
                "head_row": In(row),
                "head": Out(layout.size - layout["data"].width),
            }
        )

    @staticmethod
    def latency(lanes: int) -> int:
        """Cycles from a row's last group to ``ready``: a tree of comparisons."""
        return (lanes - 1).bit_length() + 1

    def elaborate(self, platform):
        m = Module()
        group = Signal(self._layout)
        entry = Signal.like(self.groups)
        row = Signal.like(self.slot_row)
        ends = Signal()
        m.d.comb += [group.eq(self.i.payload), ends.eq(entry == self.groups)]
        with m.If(self.i.valid):
            m.d.sync += [entry.eq(Mux(ends, 0, entry + 1)), row.eq(row + ends)]

        slots, candidates = [], []
        for lane in range(self._lanes):
            value = group.data.word_select(lane, 16).as_signed()
            counts = Signal(name=f"counts_{lane}")
            m.d.comb += counts.eq(2 * lane < group.count)
            slots.append(Cat(value, counts))
            candidate = Signal(signed(16), name=f"candidate_{lane}")
            m.d.comb += candidate.eq(Mux(counts, value, LOW))
            candidates.append(candidate)
        for name, word in (("slot", Cat(slots)), ("head", Cat(group.address, group.count))):
            memory = Memory(len(word), depth=self._rows << len(entry))
            m.submodules[f"{name}_memory"] = memory
            m.d.comb += [
                memory.write_enable.eq(self.i.valid),
                memory.write_address.eq(Cat(entry, row)),
                memory.write_data.eq(word),
                memory.read_address.eq(
                    Cat(getattr(self, f"{name}_entry"), getattr(self, f"{name}_row"))
                ),
                (self.slots if name == "slot" else self.head).eq(memory.read_data),
            ]

        level = 0
        while len(candidates) > 1:
            pairs = [(*candidates[i : i + 2],) for i in range(0, len(candidates), 2)]
            candidates = []
            for i, pair in enumerate(pairs):
                larger = Signal(signed(16), name=f"larger_{level}_{i}", reset_less=True)
                m.d.sync += larger.eq(Mux(pair[0] > pair[-1], pair[0], pair[-1]))
                candidates.append(larger)
            level += 1
        control = delayed(m, Cat(self.i.valid, ends, row), level, "compared", control=True)
        valid, ends, row = control[0], control[1], control[2:]
        best = Signal(signed(16), init=LOW)
        better = Signal(signed(16))
        m.d.comb += better.eq(Mux(candidates[0] > best, candidates[0], best))
        found = Choice(
            [Signal(signed(16), name=f"largest_{i}", reset_less=True) for i in range(self._rows)]
        )
        with m.If(valid):
            m.d.sync += [best.eq(Mux(ends, LOW, better)), found[row].eq(better)]

        waiting = Signal(bits_for(self._rows + 1))
        first = Signal.like(self.slot_row)
        m.d.comb += self.ready.eq(waiting != 0)
        m.d.sync += waiting.eq(waiting + (valid & ends) - self.take)
        with m.If(self.take):
            m.d.sync += [first.eq(first + 1), self.largest.eq(found[first])]
        return m
