"""Fetch: reads tensors, weights and biases from off-chip memory."""

from typing import Any

from amaranth import Array as Choice
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, axi4
from .bursts import Bursts
from .config import Config, bits_for, numbered
from .crossbar import write_layout
from .words import Fields

__all__ = ["BIASES", "TENSOR", "WEIGHTS", "Fetch", "bias_beats", "weight_beats"]

TENSOR, WEIGHTS, BIASES = 0, 1, 2
"""What a word's ``target`` says: a buffer, the weight memory, the bias memory."""


def weight_beats(config: Config) -> int:
    """Beats that carry one weight word, the last one padded."""
    return -(-config.weight_word_bits // (8 * config.axi_bytes))


def bias_beats(config: Config) -> int:
    """Beats that carry one bias word, the last one padded."""
    return -(-32 * config.lanes // (8 * config.axi_bytes))


class Fetch(wiring.Component):
    """Steps through transfers; asks for bursts as far ahead as its tokens and the memory allow.

    A word's bursts are requested once the space that they fill is free: of each core ``gathered``
    words of the gather unit, ``passed`` passes and ``stored`` groups, and ``sent`` words. Data are
    taken at a beat a cycle, except while the buffer's write port is an epilogue's. Beats of weights
    and biases collect to whole words of their core's memories.

    Parameters
    ----------
    tensors, constants
        Whether words may have buffers, or the memories of weights and biases, as their target.

    Members
    -------
    i : stream of words
    axi : AXI4 master, read channels
    regions : base address of each region
    gathered, passed, stored : progress counters of each core
    sent : progress counter of the send unit
    fetched : progress counter, beats that have arrived where they belong
    store : writes to buffers
    weight_*, bias_* : writes to the constant memories; an enable and data for each core
    error : a beat came with an error response
    idle : nothing asked for is outstanding
    """

    i: stream.Interface
    axi: Any
    regions: data.View
    gathered: data.View
    passed: data.View
    stored: data.View
    sent: Signal
    fetched: Signal
    store: stream.Interface
    weight_enable: Signal
    weight_address: Signal
    weight_data: data.View
    bias_enable: Signal
    bias_address: Signal
    bias_data: data.View
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
        words = max(max(core.weight_words, core.bias_words) for core in config.cores)
        self._place_bits = max(config.address_bits, bits_for(words))
        each = data.ArrayLayout(token, config.core_count)
        weights = {f"core{i}": c.weight_word_bits for i, c in enumerate(config.cores)}
        biases = {f"core{i}": 32 * c.lanes for i, c in enumerate(config.cores)}
        super().__init__(
            {
                "i": In(stream.Signature(fields.width)),
                "axi": Out(axi4(config.axi_bytes)),
                "regions": In(data.ArrayLayout(ADDRESS_BITS, 4)),
                **{name: In(each) for name in ("gathered", "passed", "stored")},
                "sent": In(token),
                "fetched": Out(token),
                "store": Out(stream.Signature(write_layout(config))),
                "weight_enable": Out(config.core_count),
                "weight_address": Out(bits_for(max(c.weight_words for c in config.cores))),
                "weight_data": Out(data.StructLayout(weights)),
                "bias_enable": Out(config.core_count),
                "bias_address": Out(bits_for(max(c.bias_words for c in config.cores))),
                "bias_data": Out(data.StructLayout(biases)),
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
                "core": bits_for(config.core_count),
                "buffer": config.buffer_bits,
                "address": self._place_bits,
                "final": len(w.beats),
                "single": 1,
            }
        )
        # Transfers whose last burst is requested but whose data are still to come.
        m.submodules.pending = queue = fifo.SyncFIFO(width=pending.size, depth=16)
        granted = Signal()
        counters = {"gathered": self.gathered, "passed": self.passed, "stored": self.stored}
        reached = Cat(
            counts[core] >= getattr(w, numbered(name, core))
            for name, counts in counters.items()
            for core in range(config.core_count)
        )
        m.d.comb += granted.eq(self.i.valid & reached.all() & (self.sent >= w.sent) & ~self.hold)
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
            bursts.walks.eq(offered),
            axi.arvalid.eq(bursts.valid),
            self.i.ready.eq(bursts.step & bursts.last),
        ]
        entry = Signal(pending)
        m.d.comb += [
            entry.target.eq(w.target),
            entry.core.eq(w.core),
            entry.buffer.eq(w.buffer),
            entry.address.eq(w.address),
            entry.final.eq(w.beats - 1),
            entry.single.eq(w.beats == 1),
            queue.w_data.eq(entry),
            queue.w_en.eq(granted & ~entered & ~offered & queue.w_rdy),
        ]
        with m.If(queue.w_en):
            m.d.sync += [entered.eq(1), offered.eq(1)]
        with m.Elif(bursts.step & bursts.last):
            m.d.sync += [entered.eq(0), offered.eq(0)]

        head = Signal(pending)
        following = Signal(len(w.beats) + 1, init=1)
        at_start, reached = Signal(init=1), Signal()
        place = Signal(self._place_bits)
        m.d.comb += head.eq(queue.r_data)
        to_buffer = (head.target == TENSOR) if self._tensors else Const(0)
        arrives = Signal()
        last = Mux(at_start, head.single, reached)
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
            m.d.sync += [
                at_start.eq(last),
                following.eq(Mux(last, 1, following + 1)),
                reached.eq(following == head.final),
                self.fetched.eq(self.fetched + 1),
            ]
            with m.If(to_buffer):
                m.d.sync += place.eq(place + beat_bytes)
            with m.Elif(ends):
                m.d.sync += place.eq(place + 1)
            with m.If(last):
                m.d.sync += place.eq(0)
        with m.If(self.clear):
            m.d.sync += self.fetched.eq(0)
        return m

    def _collect(self, m: Module, arrives, head, place) -> Signal:
        """Joins beats to words of the constant memories; returns whether this beat ends one."""
        cores = self._config.cores
        width = 8 * self._config.axi_bytes
        sizes = {WEIGHTS: [*map(weight_beats, cores)], BIASES: [*map(bias_beats, cores)]}
        most = max(*sizes[WEIGHTS], *sizes[BIASES], 2)
        history = Signal(width * (most - 1), reset_less=True)
        joined = Cat(history, self.axi.rdata)
        slot = Signal(range(most))
        final = Signal(range(most))
        ends = Signal()
        beats = [Choice([n - 1 for n in sizes[target]])[head.core] for target in (WEIGHTS, BIASES)]
        m.d.comb += [
            final.eq(Mux(head.target == WEIGHTS, *beats)),
            ends.eq(slot == final),
        ]
        with m.If(arrives & (head.target != TENSOR)):
            m.d.sync += [history.eq(joined[width:]), slot.eq(Mux(ends, 0, slot + 1))]
        for name, target in (("weight", WEIGHTS), ("bias", BIASES)):
            m.d.comb += getattr(self, f"{name}_address").eq(head.address + place)
            for core in range(len(cores)):
                chosen = (head.target == target) & (head.core == core)
                word = joined[len(joined) - width * sizes[target][core] :]
                m.d.comb += [
                    getattr(self, f"{name}_enable")[core].eq(arrives & ends & chosen),
                    getattr(self, f"{name}_data")[f"core{core}"].eq(word),
                ]
        return ends
