"""Fetch: reads tensors, weights and biases from off-chip memory."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, axi4
from .bursts import Bursts
from .config import Config, bits_for
from .crossbar import write_layout
from .words import Fields

__all__ = ["BIASES", "TENSOR", "WEIGHTS", "Fetch", "bias_beats", "weight_beats"]

TENSOR, WEIGHTS, BIASES = 0, 1, 2
"""What a word's ``target`` says: a buffer, the weight memory, the bias memory."""


def weight_beats(config: Config) -> int:
    """Beats that carry one weight word, the last one padded."""
    return -(-config.weight_bits * config.cols * config.depth // (8 * config.axi_bytes))


def bias_beats(config: Config) -> int:
    """Beats that carry one bias word, the last one padded."""
    return -(-32 * config.lanes // (8 * config.axi_bytes))


class Fetch(wiring.Component):
    """Steps through transfers; asks for bursts as far ahead as its tokens and the memory allow.

    A word's bursts are requested once the space that they fill is free: ``gathered`` words of the
    gather unit, ``passed`` passes, ``stored`` groups and ``sent`` words. Data are taken at a beat a
    cycle, except while the buffer's write port is the epilogue's. Beats of weights and biases
    collect to whole words of their memories.

    Parameters
    ----------
    tensors, constants
        Whether words may have buffers, or the memories of weights and biases, as their target.

    Members
    -------
    i : stream of words
    axi : AXI4 master, read channels
    regions : base address of each region
    gathered, passed, stored, sent : progress counters of the other units
    fetched : progress counter, beats that have arrived where they belong
    store : writes to buffers
    weight_*, bias_* : writes to the constant memories
    error : a beat came with an error response
    idle : nothing asked for is outstanding
    """

    i: stream.Interface
    axi: Any
    regions: data.View
    gathered: Signal
    passed: Signal
    stored: Signal
    sent: Signal
    fetched: Signal
    store: stream.Interface
    weight_enable: Signal
    weight_address: Signal
    weight_data: Signal
    bias_enable: Signal
    bias_address: Signal
    bias_data: Signal
    error: Signal
    idle: Signal
    clear: Signal
    hold: Signal

    def __init__(
        self, config: Config, fields: Fields, *, tensors: bool = True, constants: bool = True
    ):
        self._config, self._fields = config, fields
        self._tensors, self._constants = tensors, constants
        token = config.token_bits
        self._weight_bits = config.weight_bits * config.cols * config.depth
        words = max(config.weight_words, config.bias_words)
        self._place_bits = max(config.address_bits, bits_for(words))
        super().__init__(
            {
                "i": In(stream.Signature(fields.width)),
                "axi": Out(axi4(config.axi_bytes)),
                "regions": In(data.ArrayLayout(ADDRESS_BITS, 4)),
                "gathered": In(token),
                "passed": In(token),
                "stored": In(token),
                "sent": In(token),
                "fetched": Out(token),
                "store": Out(stream.Signature(write_layout(config))),
                "weight_enable": Out(1),
                "weight_address": Out(bits_for(config.weight_words)),
                "weight_data": Out(self._weight_bits),
                "bias_enable": Out(1),
                "bias_address": Out(bits_for(config.bias_words)),
                "bias_data": Out(32 * config.lanes),
                "error": Out(1),
                "idle": Out(1),
                "clear": In(1),
                "hold": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, axi = self._config, self.axi
        w = self._fields.view(self.i.payload)
        beat_bytes = config.axi_bytes

        m.submodules.bursts = bursts = Bursts(beat_bytes)
        pending = data.StructLayout(
            {
                "target": 2,
                "buffer": config.buffer_bits,
                "address": self._place_bits,
                "beats": 24,
            }
        )
        # Transfers whose last burst is requested but whose data are still to come.
        m.submodules.pending = queue = fifo.SyncFIFO(width=pending.size, depth=16)
        granted = Signal()
        m.d.comb += granted.eq(
            self.i.valid
            & (self.gathered >= w.gathered)
            & (self.passed >= w.passed)
            & (self.stored >= w.stored)
            & (self.sent >= w.sent)
            & ~self.hold
        )
        # A burst on offer stays on offer, whatever happens to the tokens or the throttle.
        offered = Signal()
        entered = Signal()
        base = Signal(ADDRESS_BITS)
        m.d.comb += [
            base.eq(self.regions[w.region] + w.offset),
            bursts.address.eq(base),
            bursts.beats.eq(w.beats),
            bursts.step.eq(axi.arvalid & axi.arready),
            axi.araddr.eq(bursts.at),
            axi.arlen.eq(bursts.length),
            axi.arsize.eq((beat_bytes - 1).bit_length()),
            axi.arburst.eq(1),
            axi.arvalid.eq(offered),
            self.i.ready.eq(bursts.step & bursts.last),
        ]
        entry = Signal(pending)
        m.d.comb += [
            entry.target.eq(w.target),
            entry.buffer.eq(w.buffer),
            entry.address.eq(w.address),
            entry.beats.eq(w.beats),
            queue.w_data.eq(entry),
            queue.w_en.eq(granted & ~entered & ~offered & queue.w_rdy),
        ]
        with m.If(queue.w_en):
            m.d.sync += [entered.eq(1), offered.eq(1)]
        with m.Elif(bursts.step & bursts.last):
            m.d.sync += [entered.eq(0), offered.eq(0)]

        head = Signal(pending)
        beat = Signal(24)
        place = Signal(self._place_bits)
        m.d.comb += head.eq(queue.r_data)
        to_buffer = (head.target == TENSOR) if self._tensors else Const(0)
        arrives = Signal()
        last = beat + 1 == head.beats
        m.d.comb += [
            self.store.valid.eq(axi.rvalid & queue.r_rdy & to_buffer),
            self.store.payload.buffer.eq(head.buffer),
            self.store.payload.address.eq(head.address + place),
            self.store.payload.count.eq(beat_bytes),
            self.store.payload.data.eq(axi.rdata),
            axi.rready.eq(queue.r_rdy & (~to_buffer | self.store.ready)),
            arrives.eq(axi.rvalid & axi.rready),
            queue.r_en.eq(arrives & last),
            self.error.eq(arrives & axi.rresp[1]),
            self.idle.eq(~queue.r_rdy & ~entered),
        ]
        ends = self._collect(m, arrives, head, place) if self._constants else Const(0)
        with m.If(arrives):
            m.d.sync += [beat.eq(beat + 1), self.fetched.eq(self.fetched + 1)]
            with m.If(to_buffer):
                m.d.sync += place.eq(place + beat_bytes)
            with m.Elif(ends):
                m.d.sync += place.eq(place + 1)
            with m.If(last):
                m.d.sync += [beat.eq(0), place.eq(0)]
        with m.If(self.clear):
            m.d.sync += self.fetched.eq(0)
        return m

    def _collect(self, m: Module, arrives, head, place) -> Signal:
        """Joins beats to words of the constant memories; returns whether this beat ends one."""
        width = 8 * self._config.axi_bytes
        per_weight, per_bias = weight_beats(self._config), bias_beats(self._config)
        history = Signal(width * (max(per_weight, per_bias, 2) - 1), reset_less=True)
        joined = Cat(history, self.axi.rdata)
        slot = Signal(range(max(per_weight, per_bias, 2)))
        is_weight = head.target == WEIGHTS
        ends = Signal()
        m.d.comb += ends.eq(slot == Mux(is_weight, per_weight - 1, per_bias - 1))
        with m.If(arrives & (head.target != TENSOR)):
            m.d.sync += [history.eq(joined[width:]), slot.eq(Mux(ends, 0, slot + 1))]
        for name, target, beats in (
            ("weight", WEIGHTS, per_weight),
            ("bias", BIASES, per_bias),
        ):
            m.d.comb += [
                getattr(self, f"{name}_enable").eq(arrives & ends & (head.target == target)),
                getattr(self, f"{name}_address").eq(head.address + place),
                getattr(self, f"{name}_data").eq(joined[len(joined) - width * beats :]),
            ]
        return ends
