"""Softmax over rows of int8, by TensorFlow Lite's fixed-point arithmetic."""

from amaranth import Array as Choice
from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .group import group_layout
from .memory import Memory

__all__ = ["Softmax"]

MULTIPLY = 3
"""Cycles of the shared multiplier, with rounding doubling high half."""


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

    @staticmethod
    def latency(config: Config, groups: int) -> int:
        """Cycles from a row's last group to ``done``."""
        scan = groups * config.lanes
        return 2 * scan + 7 * (MULTIPLY + 1) + 12

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
        best = largest
        for lane in range(lanes):
            byte = group.data[8 * lane : 8 * lane + 8].as_signed()
            candidate = Signal(signed(8), name=f"largest_{lane}")
            m.d.comb += candidate.eq(Mux((lane < group.count) & (byte > best), byte, best))
            best = candidate
        m.d.comb += [
            row.write_enable.eq(self.i.valid),
            row.write_address.eq(received),
            row.write_data.eq(keep),
        ]

        # A scan visits every byte slot; three registers later its exponential is there.
        entry = Signal(entry_bits)
        lane = Signal(bits_for(lanes))
        scanning = Signal()
        visit, look, value = (
            {"on": Signal(name=f"{n}_on"), "lane": Signal(bits_for(lanes), name=f"{n}_lane")}
            | {"end": Signal(name=f"{n}_end")}
            for n in ("visit", "look", "value")
        )
        last_slot = (lane == lanes - 1) & (entry == self.groups)
        m.d.comb += row.read_address.eq(entry)
        m.d.sync += [
            visit["on"].eq(scanning),
            visit["lane"].eq(lane),
            visit["end"].eq(scanning & last_slot),
        ]
        with m.If(scanning):
            m.d.sync += lane.eq(Mux(lane == lanes - 1, 0, lane + 1))
            with m.If(lane == lanes - 1):
                m.d.sync += entry.eq(entry + 1)
            with m.If(last_slot):
                m.d.sync += [scanning.eq(0), entry.eq(0)]
        stored = Signal(len(keep))
        m.d.comb += stored.eq(row.read_data)
        head = len(keep) - 8 * lanes
        count = stored[head - len(group.count) : head]
        data = Choice([stored[head + 8 * i : head + 8 * i + 8].as_signed() for i in range(lanes)])
        difference = Signal(8)
        counted = Signal()
        m.d.sync += [
            difference.eq(largest - data[visit["lane"]]),
            counted.eq(visit["lane"] < count),
        ]
        m.d.comb += self.difference.eq(difference)
        late = Signal()
        m.d.sync += late.eq(counted)
        for earlier, later in ((visit, look), (look, value)):
            m.d.sync += [later[n].eq(earlier[n]) for n in earlier]
        exponential = Signal(signed(32))
        m.d.comb += exponential.eq(Mux(late, self.exponent, 0))

        total = Signal(32)
        a = Signal(signed(32))
        b = Signal(signed(32))
        product, product_late = (
            Signal(signed(64), reset_less=True),
            Signal(signed(64), reset_less=True),
        )
        high = Signal(signed(32), reset_less=True)
        m.d.sync += [
            product.eq(a * b),
            product_late.eq(product),
            high.eq((product_late + (1 << 30)) >> 31),
        ]
        half, x, scale = (Signal(signed(32), name=n) for n in ("half", "x", "scale"))
        bits = Signal(6)
        step = Signal(3)
        wait = Signal(range(MULTIPLY + 1))

        def saturated(wide):
            top = (1 << 31) - 1
            return Mux(wide > top, top, Mux(wide < -top - 1, -top - 1, wide))

        leading = Signal(6)
        for i in range(32):
            with m.If(total[i]):
                m.d.comb += leading.eq(31 - i)

        with m.FSM() as fsm:
            with m.State("collect"), m.If(self.i.valid):
                m.d.sync += [largest.eq(best), received.eq(received + 1)]
                with m.If(received == self.groups):
                    m.d.sync += [received.eq(0), scanning.eq(1), total.eq(0)]
                    m.next = "sum"
            with m.State("sum"):
                with m.If(value["on"]):
                    m.d.sync += total.eq(total + ((exponential + (1 << 11)) >> 12))
                with m.If(value["end"]):
                    m.next = "normalise"
            with m.State("normalise"):
                normal = Signal(32)
                m.d.comb += normal.eq(total << leading)
                m.d.sync += [
                    half.eq(normal[1:]),
                    bits.eq(35 - leading),
                    step.eq(0),
                    wait.eq(0),
                ]
                m.next = "reciprocal"
            with m.State("reciprocal"):
                # Step 0 is the linear estimate 48/17 - 32/17 h; then h x and x (1 - h x) by turns.
                with m.If(step == 0):
                    m.d.comb += [a.eq(half), b.eq(-1010580540)]
                with m.Elif(step[0]):
                    m.d.comb += [a.eq(half), b.eq(x)]
                with m.Else():
                    m.d.comb += [a.eq(x), b.eq(scale)]
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
                m.d.comb += [a.eq(scale), b.eq(exponential)]
                with m.If(self.done):
                    m.d.sync += largest.eq(-128)
                    m.next = "collect"

        # The quotient follows its exponential through the multiplier and one more register.
        control = Cat(value["on"], value["end"], value["lane"])
        entry_late = stored
        for stage in range(MULTIPLY + 1):
            later = Signal(len(control), name=f"quotient_control_{stage}")
            m.d.sync += later.eq(control)
            control = later
        for stage in range(MULTIPLY + 3):
            later = Signal(len(keep), name=f"quotient_entry_{stage}", reset_less=True)
            m.d.sync += later.eq(entry_late)
            entry_late = later
        rounded = Signal(signed(33))
        quotient = Signal(8, reset_less=True)
        m.d.comb += rounded.eq((high + ((1 << bits)[1:] - (high < 0))) >> bits)
        m.d.sync += quotient.eq(Mux(rounded > 255, 127, rounded - 128))
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
            Cat(*place).eq(entry_late[:head]),
            out.data.eq(whole),
            self.o.payload.eq(out),
        ]
        return m
