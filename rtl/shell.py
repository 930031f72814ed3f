"""Shell: an accelerator behind two wires, on boards that have no processor."""

from amaranth import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from .axi import axi4, axi4_lite
from .axi_ram import AxiRam
from .commands import FRAME_BYTES, Commands
from .frames import Deframer, Framer
from .uart import Receiver, Transmitter

__all__ = ["Shell"]


class Shell(wiring.Component):
    """UART, commands, block RAM, and an instance of the module ``accelerator``.

    Parameters
    ----------
    divisor
        Cycles per bit of the UART.
    words, data_bytes
        Memory behind the accelerator's AXI port, and the port's width.

    Members
    -------
    clk : the board's clock
    rx, tx : the UART's wires, from and to the host
    """

    clk: Signal
    rx: Signal
    tx: Signal

    RESET_CYCLES = 15

    def __init__(self, *, divisor: int, words: int, data_bytes: int):
        self._divisor, self._words, self._data_bytes = divisor, words, data_bytes
        super().__init__({"clk": In(1), "rx": In(1), "tx": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.domains.start = ClockDomain("start", reset_less=True, local=True)
        m.domains.sync = ClockDomain("sync", local=True)
        waited = Signal(range(self.RESET_CYCLES + 1))
        started, reset = waited == self.RESET_CYCLES, Signal(init=1)
        with m.If(~started):
            m.d.start += waited.eq(waited + 1)
        m.d.start += reset.eq(~started)
        m.d.comb += [
            ClockSignal("start").eq(self.clk),
            ClockSignal().eq(self.clk),
            ResetSignal().eq(reset),
        ]

        m.submodules.receiver = receiver = Receiver(self._divisor)
        m.submodules.deframer = deframer = Deframer(FRAME_BYTES)
        m.submodules.commands = commands = Commands()
        m.submodules.framer = framer = Framer()
        m.submodules.transmitter = transmitter = Transmitter(self._divisor)
        m.submodules.memory = ram = AxiRam(self._words, data_bytes=self._data_bytes)
        # A queue between the two, so that neither waits for the other within a cycle.
        m.submodules.replies = replies = fifo.SyncFIFO(width=9, depth=2)
        m.d.comb += [
            replies.w_data.eq(commands.o.payload),
            replies.w_en.eq(commands.o.valid),
            commands.o.ready.eq(replies.w_rdy),
            framer.i.payload.eq(replies.r_data),
            framer.i.valid.eq(replies.r_rdy),
            replies.r_en.eq(framer.i.ready),
        ]
        wiring.connect(m, framer.o, transmitter.i)
        m.d.comb += [
            receiver.pin.eq(self.rx),
            self.tx.eq(transmitter.pin),
            deframer.valid.eq(receiver.valid),
            deframer.byte.eq(receiver.byte),
            commands.ready.eq(deframer.ready),
            commands.length.eq(deframer.length),
            deframer.address.eq(commands.address),
            commands.byte.eq(deframer.data),
            deframer.release.eq(commands.release),
            ram.address.eq(commands.memory_address),
            ram.write_data.eq(commands.memory_write_data),
            ram.read.eq(commands.memory_read),
            ram.write.eq(commands.memory_write),
            commands.memory_done.eq(ram.done),
            commands.memory_error.eq(ram.error),
            commands.memory_read_data.eq(ram.read_data),
        ]
        ports = {}
        for prefix, signature, port in (
            ("s_axil", axi4_lite().flip(), commands.axi),
            ("m_axi0", axi4(self._data_bytes), ram.axi),
        ):
            for name, member in signature.members.items():
                inward = (member.flow is In) == (prefix == "m_axi0")
                ports[f"{'i' if inward else 'o'}_{prefix}_{name}"] = getattr(port, name)
        m.submodules.accelerator = Instance(
            "accelerator", i_clk=ClockSignal(), i_rst=ResetSignal(), **ports
        )
        return m
