"""Softmax over rows of int8, by TensorFlow Lite's fixed-point arithmetic."""

from amaranth import Array as Choice
from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .compare import less
from .config import Config, bits_for
from .delay import delayed
from .group import group_layout
from .memory import Memory
from .product import Product, multiplied

__all__ = ["Softmax"]

MULTIPLY = 1 + Product.LATENCY + 1
"""Cycles of the shared multiplier: its operands, the product, the rounding doubling high half."""

LOOKUP = 2
"""Cycles of the table of exponentials, outside the unit."""

FETCH = 3 + LOOKUP
"""Cycles from a visited byte slot to its exponential."""

DIVIDE = MULTIPLY + 4
"""Cycles from an exponential to its quotient."""

OCTAVES = 5
"""Shifts of the sum to the left until its top bit is set, of two cycles each."""


class Softmax(wiring.Component):
    """Collects a row of groups, then sends the same groups on with their bytes replaced.

    ``o = 256 * exp(x - max) / sum - 128``. Exponentials come from a table over ``max - x``; the
    reciprocal of their sum from three Newton-Raphson steps (gemmlowp's
    ``one_over_one_plus_x_for_x_in_0_1``) on one multiplier. Scanning takes a byte slot a cycle.

    From the row's last group to ``done``: :meth:`latency` cycles.

    Members
    -------
    i : groups of the row, never refused; none may come between a row's last group and ``done``
    o : the same groups in the same order
    groups : groups of the row less one
    difference, exponent : a table lookup, answered in the next cycle; Q0.31
    done : the row's last group leaves in this cycle
    """

    i: stream.Interface
    o: stream.Interface
    groups: Signal
    difference: Signal
    exponent: Signal
    done: Signal

    def __init__(self, config: Config):
        self._config = config
        self._layout = group_layout(config.lanes, element_bits=8, address_bits=config.address_bits)
        super().__init__(
            {
                "i": In(stream.Signature(self._layout, always_ready=True)),
                "o": Out(stream.Signature(self._layout, always_ready=True)),
                "groups": In(bits_for(max(2, config.softmax_groups))),
                "difference": Out(8),
                "exponent": In(32),
                "done": Out(1),
            }
        )

    PRODUCTS = frozenset({(32, 32)})
    """Widths of the factors of each :class:`~rtl.product.Product` in it."""

    @staticmethod
    def _levels(config: Config) -> int:
        """Cycles in which the largest of a group's bytes is found."""
        return 1 + (config.lanes - 1).bit_length()

    @classmethod
    def latency(cls, config: Config, groups: int) -> int:
        """Cycles from a row's last group to ``done``."""
        scan = groups * config.lanes
        steps = 7 * (MULTIPLY + 1) + 2 * OCTAVES
        return 2 * (scan + FETCH) + cls._levels(config) + steps + DIVIDE + 5

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lanes = config.lanes
        entry_bits = bits_for(max(2, config.softmax_groups))
        group = Signal(self._layout)
        keep = Cat(group.address, group.count, group.data)
        m.submodules.row = row = Memory(
            len(keep), depth=1 << entry_bits, registered=False, style="distributed"
        )
        m.d.comb += group.eq(self.i.payload)

        received = Signal(entry_bits)
        largest = Signal(signed(8), init=-128)
        ends_row = Signal()
        m.d.comb += ends_row.eq(self.i.valid & (received == self.groups))
        with m.If(self.i.valid):
            m.d.sync += received.eq(Mux(ends_row, 0, received + 1))
        # The largest byte of a group, two by two.
        bytes_ = [group.data[8 * lane : 8 * lane + 8].as_signed() for lane in range(lanes)]
        largest_of = [Mux(i < group.count, byte, -128) for i, byte in enumerate(bytes_)]
        for level in range(self._levels(config)):
            if level:
                pairs = zip(largest_of[::2], largest_of[1::2], strict=False)
                odd = largest_of[len(largest_of) // 2 * 2 :]
                largest_of = [Mux(less(y, x), x, y) for x, y in pairs] + odd
            registers = [
                Signal(signed(8), name=f"largest_{level}_{i}") for i in range(len(largest_of))
            ]
            m.d.sync += [a.eq(b) for a, b in zip(registers, largest_of, strict=True)]
            largest_of = registers
        found = delayed(m, Cat(self.i.valid, ends_row), self._levels(config), "found", control=True)
        best = largest_of[0]
        with m.If(found[0] & less(largest, best)):
            m.d.sync += largest.eq(best)
        m.d.comb += [
            row.write_enable.eq(self.i.valid),
            row.write_address.eq(received),
            row.write_data.eq(keep),
        ]

        # A scan visits every byte slot; :data:`FETCH` cycles later its exponential is there.
        entry = Signal(entry_bits)
        lane = Signal(bits_for(lanes))
        scanning = Signal()
        last_slot = (lane == lanes - 1) & (entry == self.groups)
        m.d.comb += row.read_address.eq(entry)
        with m.If(scanning):
            m.d.sync += lane.eq(Mux(lane == lanes - 1, 0, lane + 1))
            with m.If(lane == lanes - 1):
                m.d.sync += entry.eq(entry + 1)
            with m.If(last_slot):
                m.d.sync += [scanning.eq(0), entry.eq(0)]
        visit = delayed(m, Cat(scanning, scanning & last_slot, lane), 1, "visit", control=True)
        stored = Signal(len(keep))
        m.d.comb += stored.eq(row.read_data)
        head = len(keep) - 8 * lanes
        count = stored[head - len(group.count) : head]
        data = Choice([stored[head + 8 * i : head + 8 * i + 8].as_signed() for i in range(lanes)])
        byte = Signal(signed(8))
        difference = Signal(8)
        m.d.sync += [byte.eq(data[visit[2:]]), difference.eq(largest - byte)]
        m.d.comb += self.difference.eq(difference)
        counted = delayed(m, visit[2:] < count, 2 + LOOKUP, "counted")
        exponential = Signal(signed(32))
        m.d.sync += exponential.eq(Mux(counted, self.exponent, 0))
        value = delayed(m, visit, FETCH, "value", control=True)
        term = Signal(20)
        m.d.sync += term.eq((exponential + (1 << 11)) >> 12)
        added = delayed(m, value[:2], 1, "added", control=True)

        total = Signal(32)
        a = Signal(signed(32))
        b = Signal(signed(32))
        high = Signal(signed(32), reset_less=True)
        product = multiplied(m, a, b, "shared")
        m.d.sync += high.eq((product + (1 << 30)) >> 31)
        half, x, scale = (Signal(signed(32), name=n) for n in ("half", "x", "scale"))
        bits = Signal(6)
        leading = Signal(OCTAVES)
        step = Signal(3)
        moves, shifts = Signal(OCTAVES, name="moves"), Signal(name="shifts")
        wait = Signal(range(MULTIPLY + 1))

        def saturated(wide):
            top = (1 << 31) - 1
            return Mux(wide > top, top, Mux(wide < -top - 1, -top - 1, wide))

        sizes = [1 << OCTAVES - 1 - i for i in range(OCTAVES)]
        m.d.sync += moves.eq(0)
        for i, size in enumerate(sizes):
            with m.If(moves[i]):
                m.d.sync += [total.eq(total << size), leading[-1 - i].eq(1)]
        done_late = Signal(name="done_late")
        m.d.sync += done_late.eq(self.done)
        with m.FSM() as fsm:
            with m.State("collect"), m.If(found[1]):
                m.d.sync += [scanning.eq(1), total.eq(0)]
                m.next = "sum"
            with m.State("sum"):
                with m.If(added[0]):
                    m.d.sync += total.eq(total + term)
                with m.If(added[1]):
                    m.d.sync += [step.eq(0), leading.eq(0)]
                    m.next = "normalise"
            with m.State("normalise"):
                m.d.sync += shifts.eq(~shifts)
                with m.If(step == OCTAVES):
                    m.d.sync += [
                        half.eq(total[1:]),
                        bits.eq(35 - leading),
                        step.eq(0),
                        wait.eq(0),
                        shifts.eq(0),
                    ]
                    m.next = "reciprocal"
                with m.Elif(shifts):
                    m.d.sync += step.eq(step + 1)
                with m.Else():
                    m.d.sync += [
                        move.eq((step == i) & (total[-size:] == 0))
                        for i, (move, size) in enumerate(zip(moves, sizes, strict=True))
                    ]
            with m.State("reciprocal"):
                # Step 0 is the linear estimate 48/17 - 32/17 h; then h x and x (1 - h x) by turns.
                with m.If(step == 0):
                    m.d.sync += [a.eq(half), b.eq(-1010580540)]
                with m.Elif(step[0]):
                    m.d.sync += [a.eq(half), b.eq(x)]
                with m.Else():
                    m.d.sync += [a.eq(x), b.eq(scale)]
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == MULTIPLY):
                    m.d.sync += [wait.eq(0), step.eq(step + 1)]
                    with m.If(step == 0):
                        m.d.sync += x.eq(1515870810 + high)
                    with m.Elif(step[0]):
                        m.d.sync += scale.eq((1 << 29) - high)
                    with m.Else():
                        m.d.sync += x.eq(x + saturated(high << 2))
                    with m.If(step == 6):
                        m.next = "scale"
            with m.State("scale"):
                m.d.sync += [scale.eq(saturated(x << 1)), scanning.eq(1)]
                m.next = "divide"
            with m.State("divide"):
                m.d.sync += [a.eq(scale), b.eq(exponential)]
                with m.If(done_late):
                    m.d.sync += largest.eq(-128)
                    m.next = "collect"

        # The quotient follows its exponential through the multiplier and a rounding shift.
        control = delayed(m, value, DIVIDE, "quotient_control", control=True)
        entry_late = delayed(m, stored[:head], FETCH + DIVIDE, "quotient_entry")
        place_half = Signal(36)
        raised = Signal(signed(37), reset_less=True)
        coarse = Signal(signed(37), reset_less=True)
        rounded = Signal(signed(37), reset_less=True)
        quotient = Signal(8, reset_less=True)
        m.d.sync += [
            place_half.eq((1 << bits)[1:]),
            raised.eq(high + place_half.as_signed() - (high < 0)),
            coarse.eq(raised >> (bits[3:] << 3)),
            rounded.eq(coarse >> bits[:3]),
            quotient.eq(Mux(rounded > 255, 127, rounded - 128)),
        ]
        on, end, at = control[0], control[1], control[2:]
        whole = Signal(8 * lanes)
        for i in range(lanes):
            byte = Signal(8, name=f"byte_{i}", reset_less=True)
            with m.If(on & (at == i)):
                m.d.sync += byte.eq(quotient)
            m.d.comb += whole[8 * i : 8 * i + 8].eq(Mux(at == i, quotient, byte))
        valid = Signal()
        m.d.comb += [
            valid.eq(on & (at == lanes - 1) & fsm.ongoing("divide")),
            self.done.eq(valid & end),
            self.o.valid.eq(valid),
        ]
        out = Signal(self._layout)
        place = [out.address, out.count]
        m.d.comb += [
            Cat(*place).eq(entry_late),
            out.data.eq(whole),
            self.o.payload.eq(out),
        ]
        return m
