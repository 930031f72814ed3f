"""Epilogue: from accumulators to int8 tensors in the buffers."""

from collections.abc import Sequence

from amaranth import Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for, numbered
from .crossbar import Crossbar, read_layout, write_layout
from .lane import Lane, parameters_layout, scale_layout
from .memory import Memory
from .scatter import Scatter
from .softmax import Softmax
from .words import Fields

__all__ = ["Epilogue"]


def _delayed(m: Module, value, cycles: int, name: str):
    """``value`` some cycles later; control, so it resets."""
    for stage in range(cycles):
        later = Signal(len(value), name=f"{name}_{stage}")
        m.d.sync += later.eq(value)
        value = later
    return value


class Epilogue(wiring.Component):
    """Takes groups of ``lanes`` sums: bias, requantise, add a residual, look up, write.

    A word begins when its tokens are there and its predecessor's last output is written, and then
    takes a group a cycle. A group is written :meth:`latency` cycles after it is taken. In a word
    with ``softmax``, a row's groups go through the softmax unit, and the next row waits for it.

    Members
    -------
    i : stream of words
    result_valid, result : groups of sums, never refused
    popped : a group is taken
    residual, residual_data : reads of the second operand
    store : writes
    stored : progress counter, groups written
    fetched, sent : progress counters of the fetch units, one per channel, and of the send unit
    {bias,scale,table,exponent}_{enable,address,data} : load ports of the constant memories
    """

    bias_enable: Signal
    bias_address: Signal
    bias_data: Signal
    scale_enable: Signal
    scale_address: Signal
    scale_data: Signal
    table_enable: Signal
    table_address: Signal
    table_data: Signal
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
    ):
        self._config, self._fields = config, fields
        self._init = {"bias": bias, "scale": scale, "table": table, "exponent": exponent}
        token = config.token_bits
        self._widths = {
            "bias": 32 * config.lanes,
            "scale": scale_layout().size * config.lanes,
            "table": 8,
            "exponent": 32,
        }
        depths = {
            "bias": config.bias_words,
            "scale": config.scale_words,
            "table": 256 * config.tables,
            "exponent": 256 * config.exponents,
        }
        self._depths = depths
        load: dict = {}
        for name, width in self._widths.items():
            load |= {
                f"{name}_enable": In(1),
                f"{name}_address": In(bits_for(max(2, depths[name]))),
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
                "fetched": In(data.ArrayLayout(token, config.channels)),
                "sent": In(token),
                "clear": In(1),
                "hold": In(1),
            }
        )

    CONSTANT_LATENCY = 2
    QUEUE_LATENCY = 2

    @classmethod
    def latency(cls, config: Config) -> int:
        """Cycles from taking a group to writing it, softmax apart."""
        table = 2 if config.tables else 0
        return cls.CONSTANT_LATENCY + Lane.latency(config) + table

    def _memory(self, m: Module, name: str, suffix: str = "", registered: bool = True) -> Memory:
        config = self._config
        ram = Memory(
            self._widths[name],
            depth=self._depths[name],
            init=self._init[name],
            writable=config.loadable or (name == "bias" and config.streamed),
            registered=registered,
        )
        m.submodules[f"{name}_memory{suffix}"] = ram
        m.d.comb += [
            ram.write_enable.eq(getattr(self, f"{name}_enable")),
            ram.write_address.eq(getattr(self, f"{name}_address")),
            ram.write_data.eq(getattr(self, f"{name}_data")),
        ]
        return ram

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lanes, wide = config.lanes, config.accumulator_bits
        w = self._fields.view(self.i.payload)

        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=wide * lanes, depth=config.results)
        m.submodules.scatter = scatter = Scatter(config, self._fields)
        m.d.comb += [
            queue.w_en.eq(self.result_valid),
            queue.w_data.eq(self.result),
            scatter.word.eq(self.i.payload),
        ]

        # A group is taken when its word's tokens are there and no softmax row is being worked on.
        drained = Signal()
        pending = Signal()
        leaving = Signal()
        take = Signal()
        arrived = Cat(
            self.fetched[channel] >= getattr(w, numbered("fetched", channel))
            for channel in range(config.channels)
        )
        m.d.comb += [
            take.eq(
                queue.r_rdy
                & self.i.valid
                & ~leaving
                & ~pending
                & (self.stored >= w.stored)
                & arrived.all()
                & (self.sent >= w.sent)
                & ~self.hold
            ),
            queue.r_en.eq(take),
            self.popped.eq(take),
            scatter.step.eq(take),
            self.i.ready.eq(leaving & drained & ~pending),
        ]
        with m.If(take & scatter.last):
            m.d.sync += leaving.eq(1)
        with m.Elif(self.i.ready):
            m.d.sync += leaving.eq(0)
        busy = Signal(bits_for(self.latency(config) + 2))
        m.d.comb += drained.eq(busy == 0)
        with m.If(take):
            m.d.sync += busy.eq(self.latency(config))
        with m.Elif(busy != 0):
            m.d.sync += busy.eq(busy - 1)

        bias, scale = self._memory(m, "bias"), self._memory(m, "scale")
        m.d.comb += [
            bias.read_address.eq(scatter.bias),
            scale.read_address.eq(scatter.scale),
        ]
        sums = queue.r_data
        for stage in range(self.CONSTANT_LATENCY):
            later = Signal(wide * lanes, name=f"sums_{stage}", reset_less=True)
            m.d.sync += later.eq(sums)
            sums = later

        parameters = Signal(parameters_layout())
        for name in parameters_layout().members:
            m.d.comb += parameters[name].eq(getattr(w, name))
        residual = self._residual(m, w, take, scatter) if config.residual else None
        outputs = Signal(8 * lanes)
        unit = scale_layout().size
        for lane in range(lanes):
            m.submodules[f"lane_{lane}"] = Instance(
                "lane",
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_accumulator=sums[wide * lane : wide * (lane + 1)],
                i_bias=bias.read_data[32 * lane : 32 * (lane + 1)],
                i_scale=scale.read_data[unit * lane : unit * (lane + 1)],
                i_residual=0 if residual is None else residual[8 * lane : 8 * lane + 8],
                i_parameters=parameters,
                o_o=outputs[8 * lane : 8 * lane + 8],
            )
        if config.tables:
            outputs = self._lookup(m, w, outputs)

        count = Signal(bits_for(lanes + 1))
        m.d.comb += count.eq(Mux(scatter.partial, w.tail + 1, lanes))
        control = _delayed(m, Cat(count, scatter.store, take), self.latency(config), "store")
        group = Signal(write_layout(config))
        m.d.comb += [
            group.buffer.eq(w.buffer),
            group.count.eq(control[: len(count)]),
            group.address.eq(control[len(count) : -1]),
            group.data.eq(outputs),
        ]
        valid = control[-1]
        if config.softmax_groups:
            self._through_softmax(m, w, group, valid, take, pending)
        else:
            m.d.comb += [self.store.valid.eq(valid), self.store.payload.eq(group)]
        with m.If(self.store.valid):
            m.d.sync += self.stored.eq(self.stored + 1)
        with m.If(self.clear):
            m.d.sync += self.stored.eq(0)
        return m

    def _residual(self, m: Module, w, take, scatter) -> Signal:
        """Read so late that the bytes meet the requantised sums."""
        config = self._config
        due = self.CONSTANT_LATENCY + Lane.RESIDUAL_DELAY - Crossbar.READ_LATENCY - 1
        request = _delayed(m, Cat(scatter.residual, take & w.add), due, "residual_request")
        address = request[:-1]
        m.d.comb += [
            self.residual.valid.eq(request[-1]),
            self.residual.payload.buffer.eq(w.residual_buffer),
            self.residual.payload.address.eq(address),
        ]
        place = _delayed(
            m, address[: (config.word_bytes - 1).bit_length()], Crossbar.READ_LATENCY, "place"
        )
        residual = Signal(8 * config.lanes, reset_less=True)
        m.d.sync += residual.eq(self.residual_data >> (place << 3))
        return residual

    def _lookup(self, m: Module, w, outputs: Signal) -> Signal:
        """Two stages: a table memory per lane, then the choice whether the word wants it."""
        looked_up = Signal(8 * self._config.lanes, reset_less=True)
        for lane in range(self._config.lanes):
            table = self._memory(m, "table", f"_{lane}", registered=False)
            byte = outputs[8 * lane : 8 * lane + 8]
            plain = Signal(8, name=f"plain_{lane}", reset_less=True)
            m.d.comb += table.read_address.eq(Cat(byte ^ 0x80, w.table))
            m.d.sync += plain.eq(byte)
            m.d.sync += looked_up[8 * lane : 8 * lane + 8].eq(
                Mux(w.table_on, table.read_data, plain)
            )
        return looked_up

    def _through_softmax(self, m: Module, w, group, valid, take, pending) -> None:
        """Rows of a softmax word pass through the unit; ``pending`` holds the next row back."""
        config = self._config
        m.submodules.softmax = softmax = Softmax(config)
        exponents = self._memory(m, "exponent", registered=False)
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
            exponents.read_address.eq(Cat(softmax.difference, w.exponents)),
            softmax.exponent.eq(exponents.read_data),
            self.store.valid.eq(Mux(w.softmax, softmax.o.valid, valid)),
            self.store.payload.eq(Mux(w.softmax, softmax.o.payload, group)),
        ]
