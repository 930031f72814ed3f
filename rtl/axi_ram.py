"""AXI RAM: block RAM behind an AXI4 port, with a second port for single bytes."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, axi4

__all__ = ["AxiRam"]

SLAVE_ERROR = 2


class AxiRam(wiring.Component):
    """A memory for one AXI4 master and a host that reads and writes bytes.

    Serves one burst of each kind at a time, a beat in five cycles when reading and in one when
    writing, which the memory sees two cycles later. The host waits until the port is free. An
    address beyond the memory is answered by an error and touches nothing. A byte is never read in
    the cycle that writes it: the master waits for its responses, and the host does one thing at a
    time; so ``no_rw_check`` holds.

    Parameters
    ----------
    words
        Capacity in words of ``data_bytes`` bytes, a power of two.

    Members
    -------
    axi : the master's port, seen from the master
    address, write_data : the host's byte
    read, write : the host wants one, until ``done``
    done : one cycle
    error : with ``done``: the address is beyond the memory
    read_data : with ``done`` after a read
    """

    axi: Any
    address: Signal
    write_data: Signal
    read: Signal
    write: Signal
    done: Signal
    error: Signal
    read_data: Signal

    def __init__(self, words: int, *, data_bytes: int):
        if words < 2 or words & (words - 1):
            raise ValueError(f"words must be a power of two of at least 2, not {words}")
        self._words, self._bytes = words, data_bytes
        super().__init__(
            {
                "axi": In(axi4(data_bytes)),
                "address": In(ADDRESS_BITS),
                "write_data": In(8),
                "read": In(1),
                "write": In(1),
                "done": Out(1),
                "error": Out(1),
                "read_data": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi, size = self.axi, self._bytes
        shift = (size - 1).bit_length()
        bits = (self._words - 1).bit_length()
        attributes: dict = {"no_rw_check": 1, "ram_style": "block", "blank": 1}
        m.submodules.memory = ram = memory.Memory(
            shape=unsigned(8 * size), depth=self._words, init=[], attrs=attributes
        )
        reader, writer = ram.read_port(), ram.write_port(granularity=8)
        # The host's address stays while it waits, which is several cycles.
        beyond = Signal()
        m.d.sync += beyond.eq(self.address[shift + bits :].any())
        m.d.comb += self.error.eq(beyond)
        place = self.address[:shift]

        at = Signal(bits)
        left = Signal(8)
        bad = Signal()
        # The blocks' own register, and one that lies nearer to who reads it.
        word, beat = (Signal(8 * size, name=name, reset_less=True) for name in ("word", "beat"))
        m.d.comb += [
            reader.addr.eq(at),
            axi.rdata.eq(beat),
            axi.rlast.eq(left == 0),
            axi.rresp.eq(Mux(bad, SLAVE_ERROR, 0)),
        ]
        m.d.sync += [
            word.eq(reader.data),
            beat.eq(word),
            self.read_data.eq(beat.word_select(place, 8)),
        ]
        with m.FSM(name="read"):
            with m.State("IDLE"):
                m.d.comb += axi.arready.eq(1)
                with m.If(axi.arvalid):
                    m.d.sync += [
                        at.eq(axi.araddr[shift:]),
                        left.eq(axi.arlen),
                        bad.eq(axi.araddr[shift + bits :].any()),
                    ]
                    m.next = "FETCH"
                with m.Elif(self.read & ~self.done):
                    m.d.sync += at.eq(self.address[shift:])
                    m.next = "HOST_FETCH"
            with m.State("FETCH"):
                m.next = "TAKE"
            with m.State("TAKE"):
                m.next = "MOVE"
            with m.State("MOVE"):
                m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += axi.rvalid.eq(1)
                with m.If(axi.rready):
                    m.next = "TAKEN"
            with m.State("TAKEN"):
                m.d.sync += [at.eq(at + 1), left.eq(left - 1)]
                m.next = "FETCH"
                with m.If(left == 0):
                    m.next = "IDLE"
            with m.State("HOST_FETCH"):
                m.next = "HOST_TAKE"
            with m.State("HOST_TAKE"):
                m.next = "HOST_MOVE"
            with m.State("HOST_MOVE"):
                m.next = "HOST_SELECT"
            with m.State("HOST_SELECT"):
                m.next = "HOST_OFFER"
            with m.State("HOST_OFFER"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"

        # What is written waits a cycle for the host's bytes, and another on its way to the memory.
        into, failed, accepts = Signal(bits), Signal(), Signal()
        mask, enable = Signal(size), Signal(size)
        arrived, write_data = (
            Signal(8 * size, name=n, reset_less=True) for n in ("arrived", "data")
        )
        place_late, address = (
            Signal(bits, name=n, reset_less=True) for n in ("into_late", "into_last")
        )
        hosts = Signal()
        m.d.sync += [
            mask.eq(0),
            hosts.eq(0),
            arrived.eq(axi.wdata),
            place_late.eq(into),
            write_data.eq(Mux(hosts, self.write_data.replicate(size), arrived)),
            enable.eq(mask),
            address.eq(place_late),
        ]
        m.d.comb += [
            writer.addr.eq(address),
            writer.data.eq(write_data),
            writer.en.eq(enable),
            axi.wready.eq(accepts),
            axi.bresp.eq(Mux(failed, SLAVE_ERROR, 0)),
        ]
        with m.FSM(name="write"):
            with m.State("IDLE"):
                m.d.comb += axi.awready.eq(1)
                with m.If(axi.awvalid):
                    m.d.sync += [
                        into.eq(axi.awaddr[shift:]),
                        failed.eq(axi.awaddr[shift + bits :].any()),
                        accepts.eq(1),
                    ]
                    m.next = "TAKE"
                with m.Elif(self.write):
                    m.d.sync += into.eq(self.address[shift:])
                    m.next = "HOST_WRITE"
            with m.State("HOST_WRITE"):
                m.d.sync += [
                    hosts.eq(1),
                    mask.eq(Cat((place == i) & ~beyond for i in range(size))),
                ]
                m.next = "HOST_WRITTEN"
            with m.State("HOST_WRITTEN"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
            with m.State("TAKE"):
                m.d.sync += mask.eq(Mux(axi.wvalid & ~failed, axi.wstrb, 0))
                with m.If(axi.wvalid):
                    m.d.sync += into.eq(into + 1)
                    with m.If(axi.wlast):
                        m.d.sync += accepts.eq(0)
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.next = "ANSWERED"
            with m.State("ANSWERED"):
                m.d.comb += axi.bvalid.eq(1)
                with m.If(axi.bready):
                    m.next = "IDLE"
        return m
