"""Registers: the AXI4-Lite port through which a host starts, watches and loads the machine."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, axi4_lite

__all__ = ["REGISTERS", "VERSION", "Registers"]

VERSION = 0x0001_0000
"""Major and minor version of the register map."""

REGISTERS = {
    "VERSION": 0x00,
    "CONTROL": 0x04,
    "STATUS": 0x08,
    "CYCLES": 0x0C,
    "STALLS": 0x10,
    "REGION": 0x20,
    "LOAD_SELECT": 0x40,
    "LOAD_INDEX": 0x44,
    "LOAD_DATA": 0x48,
}
"""Byte offsets. REGION is four words: base addresses of inputs, outputs, weights, spills."""

REGIONS = 4


class Registers(wiring.Component):
    """A register file of 32-bit words.

    Writing 1 to CONTROL starts a run, unless one is under way. STATUS is done (bit 0), busy (bit
    1), error (bit 2, an AXI response said so). REGION keeps its value during a run, since addresses
    on offer must not change. CYCLES counts from the accepted start until done,
    STALLS the cycles among them in which the array had work but could not go on.

    Members
    -------
    axi : AXI4-Lite slave
    start : one cycle, the cycle after the accepted write
    finished, stalled, failed : what the machine reports
    regions : base addresses
    load_select, load_index, load_data : the loader's last writes
    load_indexed, load_strobe : one cycle after a write to LOAD_INDEX, LOAD_DATA
    """

    axi: Any
    start: Signal
    busy: Signal
    finished: Signal
    stalled: Signal
    failed: Signal
    regions: data.View
    load_select: Signal
    load_data: Signal
    load_indexed: Signal
    load_strobe: Signal

    def __init__(self):
        super().__init__(
            {
                "axi": Out(axi4_lite()),
                "start": Out(1),
                "busy": Out(1),
                "finished": In(1),
                "stalled": In(1),
                "failed": In(1),
                "regions": Out(data.ArrayLayout(ADDRESS_BITS, REGIONS)),
                "load_select": Out(4),
                "load_data": Out(32),
                "load_indexed": Out(1),
                "load_strobe": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        done = Signal()
        error = Signal()
        cycles = Signal(32)
        stalls = Signal(32)

        accept = Signal()
        m.d.comb += [
            accept.eq(axi.awvalid & axi.wvalid & ~axi.bvalid),
            axi.awready.eq(accept),
            axi.wready.eq(accept),
            axi.arready.eq(~axi.rvalid),
        ]
        with m.If(axi.bvalid & axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        m.d.sync += [self.start.eq(0), self.load_indexed.eq(0), self.load_strobe.eq(0)]

        with m.If(self.busy):
            m.d.sync += [cycles.eq(cycles + 1), stalls.eq(stalls + self.stalled)]
            with m.If(self.failed):
                m.d.sync += error.eq(1)
            with m.If(self.finished & ~self.start):
                m.d.sync += [self.busy.eq(0), done.eq(1)]

        with m.If(accept):
            m.d.sync += axi.bvalid.eq(1)
            with m.Switch(axi.awaddr):
                with m.Case(REGISTERS["CONTROL"]), m.If(axi.wdata[0] & ~self.busy):
                    m.d.sync += [
                        self.start.eq(1),
                        self.busy.eq(1),
                        done.eq(0),
                        error.eq(0),
                        cycles.eq(1),
                        stalls.eq(0),
                    ]
                for region in range(REGIONS):
                    with m.Case(REGISTERS["REGION"] + 4 * region), m.If(~self.busy):
                        m.d.sync += self.regions[region].eq(axi.wdata)
                with m.Case(REGISTERS["LOAD_SELECT"]):
                    m.d.sync += self.load_select.eq(axi.wdata)
                with m.Case(REGISTERS["LOAD_INDEX"]):
                    m.d.sync += [self.load_data.eq(axi.wdata), self.load_indexed.eq(1)]
                with m.Case(REGISTERS["LOAD_DATA"]):
                    m.d.sync += [self.load_data.eq(axi.wdata), self.load_strobe.eq(1)]

        with m.If(axi.rvalid & axi.rready):
            m.d.sync += axi.rvalid.eq(0)
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [axi.rvalid.eq(1), axi.rdata.eq(0)]
            with m.Switch(axi.araddr):
                with m.Case(REGISTERS["VERSION"]):
                    m.d.sync += axi.rdata.eq(VERSION)
                with m.Case(REGISTERS["STATUS"]):
                    m.d.sync += axi.rdata.eq(done | (self.busy << 1) | (error << 2))
                with m.Case(REGISTERS["CYCLES"]):
                    m.d.sync += axi.rdata.eq(cycles)
                with m.Case(REGISTERS["STALLS"]):
                    m.d.sync += axi.rdata.eq(stalls)
                for region in range(REGIONS):
                    with m.Case(REGISTERS["REGION"] + 4 * region):
                        m.d.sync += axi.rdata.eq(self.regions[region])
        return m
