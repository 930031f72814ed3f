"""Registers: the AXI4-Lite port through which a host starts, watches and loads the machine."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, axi4_lite
from .register_map import REGISTERS, VERSION, Register, register

__all__ = ["Registers"]


class Registers(wiring.Component):
    """The register file that :data:`rtl.register_map.REGISTERS` describes.

    REGION keeps its value during a run, since addresses on offer must not change.

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
                "regions": Out(data.ArrayLayout(ADDRESS_BITS, len(register("REGION").words))),
                "load_select": Out(8),
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

        # What is asked for is accepted a cycle later, when its address is compared.
        accept, answer = Signal(), Signal()
        m.d.sync += [
            accept.eq(axi.awvalid & axi.wvalid & ~axi.bvalid & ~accept),
            answer.eq(axi.arvalid & ~axi.rvalid & ~answer),
        ]
        m.d.comb += [
            axi.awready.eq(accept),
            axi.wready.eq(accept),
            axi.arready.eq(answer),
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

        regions = [self.regions[i] for i in range(len(register("REGION").words))]
        control, status = register("CONTROL"), register("STATUS")
        starts = axi.wdata & control.mask("START")
        writes = {
            "CONTROL": [(starts.any() & ~self.busy, self._begin(done, error, cycles, stalls))],
            "REGION": [(~self.busy, [region.eq(axi.wdata)]) for region in regions],
            "LOAD_SELECT": [(1, [self.load_select.eq(axi.wdata)])],
            "LOAD_INDEX": [(1, [self.load_data.eq(axi.wdata), self.load_indexed.eq(1)])],
            "LOAD_DATA": [(1, [self.load_data.eq(axi.wdata), self.load_strobe.eq(1)])],
        }
        state = {"DONE": done, "BUSY": self.busy, "ERROR": error}
        reads = {
            "VERSION": [VERSION],
            "STATUS": [Cat(state[bit.name] for bit in status.bits)],
            "CYCLES": [cycles],
            "STALLS": [stalls],
            "REGION": regions,
        }
        with m.If(accept):
            m.d.sync += axi.bvalid.eq(1)
        for offset, (allowed, statements) in _words(writes, "writable"):
            chosen = Signal(name=f"writes_{offset:x}")
            m.d.sync += chosen.eq(axi.awaddr == offset)
            with m.If(accept & chosen & allowed):
                m.d.sync += statements

        with m.If(axi.rvalid & axi.rready):
            m.d.sync += axi.rvalid.eq(0)
        value = Const(0, 32)
        for offset, word in _words(reads, "readable"):
            chosen = Signal(name=f"reads_{offset:x}")
            m.d.sync += chosen.eq(axi.araddr == offset)
            value = value | Mux(chosen, word, 0)
        with m.If(answer):
            m.d.sync += [axi.rvalid.eq(1), axi.rdata.eq(value)]
        return m

    def _begin(self, done, error, cycles, stalls) -> list:
        """What an accepted start does."""
        return [
            self.start.eq(1),
            self.busy.eq(1),
            done.eq(0),
            error.eq(0),
            cycles.eq(1),
            stalls.eq(0),
        ]


def _words(values: Mapping[str, Sequence[Any]], access: str) -> Iterator[tuple[int, Any]]:
    """Offset and value of every word of the map that has this access."""
    chosen: list[Register] = [one for one in REGISTERS if getattr(one, access)]
    if [one.name for one in chosen] != list(values):
        raise ValueError(f"{access} registers are {[one.name for one in chosen]}")
    for one in chosen:
        yield from zip(one.offsets, values[one.name], strict=True)
