"""Send: writes tensors to off-chip memory."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, axi4
from .bursts import Bursts
from .config import Config
from .counted import counted
from .crossbar import Crossbar, read_layout
from .words import Fields

__all__ = ["Send"]


class Send(wiring.Component):
    """Steps through transfers from buffers to memory, a beat a cycle.

    A word begins :attr:`GRANT_LATENCY` cycles after its ``producer`` has written ``stored`` groups.
    Buffer reads run ahead of the write channel as far as a small queue has room; beats are whole,
    so a region is padded to a beat.

    Members
    -------
    i : stream of words
    axi : AXI4 master, write channels
    regions : base address of each region
    stored : progress counter of each core's epilogue
    sent : progress counter, words whose every burst is acknowledged
    request, data : buffer reads
    error : a burst was answered with an error
    idle : everything is acknowledged
    """

    i: stream.Interface
    axi: Any
    regions: data.View
    stored: data.View
    sent: Signal
    request: stream.Interface
    data: Signal
    error: Signal
    idle: Signal
    clear: Signal
    hold: Signal

    QUEUE = 16
    GRANT_LATENCY = 2

    def __init__(self, config: Config, fields: Fields):
        self._config, self._fields = config, fields
        token = config.token_bits
        super().__init__(
            {
                "i": In(stream.Signature(fields.width)),
                "axi": Out(axi4(config.axi_bytes)),
                "regions": In(data.ArrayLayout(ADDRESS_BITS, 4)),
                "stored": In(data.ArrayLayout(token, config.core_count)),
                "sent": Out(token),
                "request": Out(stream.Signature(read_layout(config))),
                "data": In(16 * config.word_bytes),
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
        width = 8 * config.axi_bytes

        shift = (config.axi_bytes - 1).bit_length()

        m.submodules.bursts = bursts = Bursts(config.axi_bytes)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=width, depth=self.QUEUE)
        granted = Signal()
        due, finished = Signal(name="due"), Signal(name="finished")
        there = self.i.valid & (self.stored[w.producer] >= w.stored)
        m.d.sync += [due.eq(there & ~finished), granted.eq(due & ~finished)]

        # Addresses: a word's bursts are offered one after the other, then its beats follow.
        address_done = Signal()
        beats_done = Signal()
        started = Signal()
        bursts_open = Signal(16)
        # A burst's length goes to the write channel when its address is offered: the slave may want
        # to see data before it accepts the address.
        entered, roomy = Signal(name="entered"), Signal(name="roomy", init=1)
        lengths = fifo.SyncFIFO(width=9, depth=8)
        m.submodules.lengths = lengths
        m.d.comb += [
            bursts.address.eq(self.regions[w.region] + w.offset),
            bursts.beats.eq(w.beats),
            bursts.walks.eq((due | granted | started) & ~address_done),
            axi.awvalid.eq(bursts.valid & started & (roomy | entered)),
            axi.awaddr.eq(bursts.at),
            axi.awlen.eq(bursts.length),
            axi.awsize.eq(shift),
            axi.awburst.eq(1),
            bursts.step.eq(axi.awvalid & axi.awready),
            lengths.w_en.eq(axi.awvalid & ~entered),
            lengths.w_data.eq(Cat(bursts.length, bursts.last)),
        ]
        level = lengths.w_level
        fills = Mux(lengths.w_en, level == lengths.depth - 1, level == lengths.depth)
        m.d.sync += [
            entered.eq(axi.awvalid & ~axi.awready),
            roomy.eq(~fills | lengths.r_en),
        ]

        # Beats: read requests as long as the queue can take what is under way.
        beat, final = Signal(24), Signal.like(w.beats)
        credit = Signal(range(self.QUEUE + 1), init=self.QUEUE)
        asked = Signal()
        popped = Signal()
        m.d.comb += [
            self.request.valid.eq(granted & ~beats_done & (credit != 0) & ~self.hold),
            self.request.payload.buffer.eq(w.buffer),
            self.request.payload.address.eq(w.address + (beat << shift)),
            asked.eq(self.request.valid & self.request.ready),
            popped.eq(queue.r_rdy & queue.r_en),
        ]
        m.d.sync += [credit.eq(credit + popped - asked), final.eq(w.beats - 1)]
        last_beat, asked_last = Signal(name="last_beat"), Signal(name="asked_last")
        m.d.comb += [
            last_beat.eq(counted(m, final, granted, asked, asked_last, "beat")),
            asked_last.eq(asked & last_beat),
        ]
        # A beat is a part of the word that it lies in; which part follows the request.
        part_bits = (config.word_bytes // config.axi_bytes - 1).bit_length()
        arriving = Cat(asked, self.request.payload.address[shift : shift + part_bits])
        for stage in range(Crossbar.READ_LATENCY):
            later = Signal(len(arriving), name=f"arriving_{stage}")
            m.d.sync += later.eq(arriving)
            arriving = later
        m.d.comb += [
            queue.w_en.eq(arriving[0]),
            queue.w_data.eq(self.data.word_select(arriving[1:], width)),
        ]

        burst_beat = Signal(9)
        # The length of the burst whose beats are moving, and whether its last one is on offer.
        length = Signal(8)
        opened, last, moved, takes = (
            Signal(name="opened"),
            Signal(name="last"),
            Signal(name="moved"),
            Signal(name="takes"),
        )
        m.d.comb += takes.eq(lengths.r_rdy & (~opened | (moved & last)))
        with m.If(moved):
            m.d.sync += [last.eq(burst_beat == length), burst_beat.eq(burst_beat + 1)]
        with m.If(~opened | (moved & last)):
            m.d.sync += [
                opened.eq(lengths.r_rdy),
                length.eq(lengths.r_data[:8]),
                last.eq(lengths.r_data[:8] == 0),
                burst_beat.eq(1),
            ]
        m.d.comb += [
            axi.wvalid.eq(queue.r_rdy & opened),
            axi.wdata.eq(queue.r_data),
            axi.wstrb.eq(~0),
            axi.wlast.eq(last),
            moved.eq(axi.wvalid & axi.wready),
            queue.r_en.eq(moved),
            lengths.r_en.eq(takes),
            axi.bready.eq(1),
            self.error.eq(axi.bvalid & axi.bresp[1]),
        ]

        closed = axi.bvalid & axi.bready
        m.d.sync += bursts_open.eq(bursts_open + bursts.step - closed)
        with m.If(granted):
            m.d.sync += started.eq(1)
        with m.If(bursts.step & bursts.last):
            m.d.sync += address_done.eq(1)
        with m.If(asked):
            m.d.sync += beat.eq(beat + 1)
            with m.If(last_beat):
                m.d.sync += [beats_done.eq(1), beat.eq(0)]
        m.d.comb += [
            finished.eq(address_done & beats_done & (bursts_open == 0)),
            self.i.ready.eq(finished),
            self.idle.eq(~started),
        ]
        with m.If(finished):
            m.d.sync += [s.eq(0) for s in (started, address_done, beats_done)]
            m.d.sync += self.sent.eq(self.sent + 1)
        with m.If(self.clear):
            m.d.sync += self.sent.eq(0)
        return m
