"""Epilogue: from accumulators to int8 or int16 tensors in the buffers."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for, numbered
from .crossbar import Crossbar, read_layout, write_layout
from .delay import delayed
from .group import group_layout
from .lanes import Lanes, constant_depths, constant_widths
from .memory import Memory
from .pool2 import Pool2
from .rowsoftmax import RowSoftmax
from .scatter import Scatter
from .softmax import Softmax
from .words import Fields

__all__ = ["Epilogue"]


class Epilogue(wiring.Component):
    """Takes groups of ``lanes`` sums: :class:`~rtl.lanes.Lanes` make values of them, which may be
    pooled or pass a softmax, and are written.

    A word begins when its tokens are there and its predecessor's last output is written, and then
    takes a group a cycle. A group is written :meth:`latency` cycles after it is taken. In a word
    with ``softmax``, a row's groups go through the softmax unit, and the next row waits for it. In
    a word with ``pool``, groups of every second row are written, as the maxima of two rows.

    Members
    -------
    i : stream of words
    result_valid, result : groups of sums, never refused
    popped : a group is taken
    residual, residual_data : reads of the second operand
    store : writes
    stored : progress counter, groups written
    fetched, sent : progress counters of the fetch units, one per channel, and of the send unit
    all_stored, all_gathered : progress counters of each core, which a word may wait for
    {bias,scale,table,exponent}_{enable,address,data} : load ports of the constant memories, those
        of :class:`~rtl.lanes.Lanes` and the exponentials of an int8 softmax
    """

    exponent_enable: Signal
    exponent_address: Signal
    exponent_data: Signal
    i: stream.Interface
    result_valid: Signal
    result: Signal
    popped: Signal
    residual: stream.Interface
    residual_data: Signal
    store: stream.Interface
    stored: Signal
    all_stored: data.View
    all_gathered: data.View
    fetched: data.View
    sent: Signal
    clear: Signal
    hold: Signal

    def __init__(
        self,
        config: Config,
        fields: Fields,
        *,
        bias: Sequence[int] = (),
        scale: Sequence[int] = (),
        table: Sequence[int] = (),
        exponent: Sequence[int] = (),
        lane: str = "lane",
    ):
        self._config, self._fields, self._lane = config, fields, lane
        self._init = {"bias": bias, "scale": scale, "table": table, "exponent": exponent}
        token = config.token_bits
        load: dict = {}
        for name, width in self.widths(config).items():
            load |= {
                f"{name}_enable": In(1),
                f"{name}_address": In(bits_for(max(2, self._depths(config)[name]))),
                f"{name}_data": In(width),
            }
        super().__init__(
            load
            | {
                "i": In(stream.Signature(fields.width)),
                "result_valid": In(1),
                "result": In(config.accumulator_bits * config.lanes),
                "popped": Out(1),
                "residual": Out(stream.Signature(read_layout(config))),
                "residual_data": In(16 * config.word_bytes),
                "store": Out(stream.Signature(write_layout(config))),
                "stored": Out(token),
                "all_stored": In(data.ArrayLayout(token, config.core_count)),
                "all_gathered": In(data.ArrayLayout(token, config.core_count)),
                "fetched": In(data.ArrayLayout(token, config.channels)),
                "sent": In(token),
                "clear": In(1),
                "hold": In(1),
            }
        )

    QUEUE_LATENCY = 2
    OPEN_LATENCY = 1
    """Cycles from a word and its tokens to its first group."""

    STORE_LATENCY = 1
    """Cycles from a group that is complete to its write."""

    @staticmethod
    def widths(config: Config) -> dict[str, int]:
        """Word width of each constant memory."""
        exponent = {"exponent": 32} if config.element_bytes == 1 else {}
        return constant_widths(config) | exponent

    @staticmethod
    def _depths(config: Config) -> dict[str, int]:
        return constant_depths(config) | {"exponent": 256 * config.exponents}

    @classmethod
    def latency(cls, config: Config) -> int:
        """Cycles from taking a group to writing it, softmax apart."""
        pool = Pool2.LATENCY if config.pool else 0
        return Lanes.latency(config) + pool + cls.STORE_LATENCY

    @staticmethod
    def second_latency(config: Config) -> int:
        """Cycles from taking a group to reading its second operand."""
        return Lanes.residual_delay(config) - Crossbar.READ_LATENCY - 2

    @staticmethod
    def softmax_latency(config: Config, groups: int) -> int:
        """Cycles from writing the last of a row's ``groups``, were there no softmax, to writing it
        with one; the groups before it are written ``lanes`` cycles apart."""
        if config.element_bytes == 2:
            return RowSoftmax.latency(config.lanes, groups)
        return Softmax.latency(config, groups)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lanes, wide = config.lanes, config.accumulator_bits
        w = self._fields.view(self.i.payload)

        late = Lanes.CONSTANT_LATENCY
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(
            width=wide * lanes, depth=config.results + late
        )
        m.submodules.scatter = scatter = Scatter(config, self._fields)
        m.d.comb += [
            queue.w_en.eq(self.result_valid),
            queue.w_data.eq(self.result),
            scatter.word.eq(self.i.payload),
        ]

        # A group is taken when its word's tokens are there and no softmax row is being worked on.
        # It leaves the queue when the constants that belong to it have been read.
        waiting = Signal(range(config.results + 1))
        arrived, some = Signal(), Signal()
        m.d.sync += arrived.eq(self.result_valid)
        drained = Signal(init=1)
        pending = Signal()
        leaving = Signal()
        active = Signal()
        take = Signal()
        counters = {"fetched": self.fetched, "stored": self.all_stored}
        if config.core_count > 1:
            counters["gathered"] = self.all_gathered
        reached = Cat(
            counts[index] >= getattr(w, numbered(name, index))
            for name, counts in counters.items()
            for index in range(len(counts.as_value()) // config.token_bits)
        )
        m.d.comb += [
            take.eq(some & active & ~pending & ~self.hold),
            queue.r_en.eq(delayed(m, take, late, "pops", control=True)),
            self.popped.eq(take),
            scatter.step.eq(take),
            scatter.begun.eq(active),
            self.i.ready.eq(leaving & drained & ~pending),
        ]
        m.d.sync += waiting.eq(waiting + arrived - take)
        m.d.sync += some.eq(arrived | Mux(take, waiting > 1, some))
        with m.If(take & scatter.last):
            m.d.sync += [leaving.eq(1), active.eq(0)]
        with m.Elif(self.i.ready):
            m.d.sync += leaving.eq(0)
        with m.Elif(self.i.valid & ~leaving & reached.all() & (self.sent >= w.sent)):
            m.d.sync += active.eq(1)
        busy = Signal(bits_for(self.latency(config) + 2))
        with m.If(take):
            m.d.sync += [busy.eq(self.latency(config)), drained.eq(0)]
        with m.Elif(~drained):
            m.d.sync += [busy.eq(busy - 1), drained.eq(busy == 1)]

        m.submodules.lanes = values = Lanes(config, self._fields, init=self._init, lane=self._lane)
        m.d.comb += [
            values.word.eq(self.i.payload),
            values.sums.eq(queue.r_data),
            values.bias.eq(scatter.bias),
        ]
        for name in constant_widths(config):
            for port in (f"{name}_enable", f"{name}_address", f"{name}_data"):
                m.d.comb += getattr(values, port).eq(getattr(self, port))
        if config.element_bytes == 1:
            m.d.comb += values.scale.eq(scatter.scale)
        if config.residual:
            m.d.comb += values.residual.eq(self._residual(m, w, take, scatter))

        unit = config.element_bytes
        count = Signal(bits_for(unit * lanes + 1))
        m.d.comb += count.eq(Mux(scatter.partial, unit * (w.tail + 1), unit * lanes))
        late = Lanes.latency(config)
        place = Cat(count, scatter.store)
        place = delayed(m, place, late - Scatter.LATENCY, "store")
        valid = delayed(m, take, late, "taken", control=True)
        layout = group_layout(
            lanes, element_bits=config.element_bits, address_bits=config.address_bits
        )
        group = Signal(layout)
        m.d.comb += [
            group.count.eq(place[: len(count)]),
            group.address.eq(place[len(count) :]),
            group.data.eq(values.o),
        ]
        if config.pool:
            m.submodules.pool = pool = Pool2(
                lanes,
                element_bits=config.element_bits,
                address_bits=config.address_bits,
                strips=config.pool,
            )
            m.d.comb += [
                pool.i.valid.eq(valid),
                pool.i.payload.eq(group),
                pool.on.eq(w.pool),
                pool.row.eq(w.pool_row),
            ]
            group, valid = pool.o.payload, pool.o.valid
        if config.softmax_groups:
            group, valid = self._through_softmax(m, w, group, valid, take, pending)
        write = Signal(write_layout(config), reset_less=True)
        stores = Signal()
        m.d.sync += [
            stores.eq(valid),
            write.buffer.eq(w.buffer),
            write.address.eq(group.address),
            write.count.eq(group.count),
            write.data.eq(group.data),
        ]
        m.d.comb += [self.store.valid.eq(stores), self.store.payload.eq(write)]
        with m.If(self.store.valid):
            m.d.sync += self.stored.eq(self.stored + 1)
        with m.If(self.clear):
            m.d.sync += self.stored.eq(0)
        return m

    def _residual(self, m: Module, w, take, scatter) -> Signal:
        """Read so late that the second operands meet the requantised sums."""
        config = self._config
        due = self.second_latency(config)
        wanted = w.add | w.multiply if config.multiply else w.add
        address = delayed(m, scatter.residual, due - Scatter.LATENCY, "residual_address")
        valid = delayed(m, take & wanted, due, "residual_valid", control=True)
        m.d.comb += [
            self.residual.valid.eq(valid),
            self.residual.payload.buffer.eq(w.residual_buffer),
            self.residual.payload.address.eq(address),
        ]
        place = delayed(
            m,
            address[: (config.word_bytes - 1).bit_length()],
            Crossbar.READ_LATENCY,
            "place",
            control=True,
        )
        # Its bytes move to the lanes in two steps, by several and by single ones.
        fine = len(place) // 2
        width = config.element_bits * config.lanes
        coarse = Signal(width + (8 << fine), reset_less=True)
        left = Signal(fine, reset_less=True)
        residual = Signal(width, reset_less=True)
        m.d.sync += [
            coarse.eq(self.residual_data >> (place[fine:] << (fine + 3))),
            left.eq(place[:fine]),
            residual.eq(coarse >> (left << 3)),
        ]
        return residual

    def _through_softmax(self, m: Module, w, group, valid, take, pending):
        """Rows of a softmax word pass through the unit; ``pending`` holds the next row back.
        Returns the groups that are written instead."""
        config = self._config
        softmax = self._row_softmax(m, w) if config.element_bytes == 2 else self._softmax(m, w)
        taken = Signal(bits_for(config.softmax_groups))
        ends = taken == w.row_groups
        with m.If(take & w.softmax):
            m.d.sync += taken.eq(Mux(ends, 0, taken + 1))
            with m.If(ends):
                m.d.sync += pending.eq(1)
        with m.If(softmax.done):
            m.d.sync += pending.eq(0)
        m.d.comb += [
            softmax.i.valid.eq(valid & w.softmax),
            softmax.i.payload.eq(group),
            softmax.groups.eq(w.row_groups),
        ]
        chosen = Signal.like(softmax.i.payload)
        m.d.comb += chosen.eq(Mux(w.softmax, softmax.o.payload, group))
        return chosen, Mux(w.softmax, softmax.o.valid, valid)

    def _softmax(self, m: Module, w) -> Softmax:
        config = self._config
        m.submodules.softmax = softmax = Softmax(config)
        m.submodules.exponent_memory = exponents = Memory(
            32,
            depth=256 * config.exponents,
            init=self._init["exponent"],
            writable=config.loadable,
        )
        m.d.comb += [
            exponents.write_enable.eq(self.exponent_enable),
            exponents.write_address.eq(self.exponent_address),
            exponents.write_data.eq(self.exponent_data),
            exponents.read_address.eq(Cat(softmax.difference, w.exponents)),
            softmax.exponent.eq(exponents.read_data),
        ]
        return softmax

    def _row_softmax(self, m: Module, w) -> RowSoftmax:
        config = self._config
        m.submodules.softmax = softmax = RowSoftmax(
            config.lanes, groups=config.softmax_groups, address_bits=config.address_bits
        )
        m.d.comb += softmax.fraction_bits.eq(w.fraction_bits)
        return softmax
