"""Commands: what a host asks for in frames, done on registers and memory."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import ADDRESS_BITS, axi4_lite
from .config import bits_for

__all__ = ["DONE", "FRAME_BYTES", "HEADER_BYTES", "REFUSED", "Commands", "Operation"]

HEADER_BYTES = 6
"""Of a request: sequence number, operation, address, the lowest byte first."""

FRAME_BYTES = 128
"""Of the longest request, check sum included."""

DONE, REFUSED = 0, 1
"""The second byte of a reply."""


class Operation:
    """The second byte of a request. Register operations move four bytes."""

    READ_REGISTER = 1
    WRITE_REGISTER = 2
    READ_MEMORY = 3
    WRITE_MEMORY = 4


class Commands(wiring.Component):
    """Does one request at a time and replies to each.

    A request is a header and then: nothing, four bytes, the count of bytes, or the bytes, in the
    order of :class:`Operation`. The reply is the sequence number, :data:`DONE` or :data:`REFUSED`,
    and what was read. A write with the sequence number of the request before is not done again,
    for the host repeats what had no reply.

    Members
    -------
    ready, length, address, byte, release : a request, from a Deframer
    o : bytes of the reply, for a Framer
    axi : registers, seen from the master
    memory_address, memory_write_data, memory_read, memory_write, memory_done, memory_error,
    memory_read_data : single bytes of an AxiRam
    """

    ready: Signal
    length: Signal
    address: Signal
    byte: Signal
    release: Signal
    o: Any
    axi: Any
    memory_address: Signal
    memory_write_data: Signal
    memory_read: Signal
    memory_write: Signal
    memory_done: Signal
    memory_error: Signal
    memory_read_data: Signal

    FETCH_CYCLES = 3

    def __init__(self):
        payload = data.StructLayout({"byte": 8, "last": 1})
        super().__init__(
            {
                "ready": In(1),
                "length": In(bits_for(FRAME_BYTES + 1)),
                "address": Out(bits_for(FRAME_BYTES)),
                "byte": In(8),
                "release": Out(1),
                "o": Out(stream.Signature(payload)),
                "axi": In(axi4_lite()),
                "memory_address": Out(ADDRESS_BITS),
                "memory_write_data": Out(8),
                "memory_read": Out(1),
                "memory_write": Out(1),
                "memory_done": In(1),
                "memory_error": In(1),
                "memory_read_data": In(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        axi = self.axi
        waited = Signal(self.FETCH_CYCLES)
        index = Signal(range(FRAME_BYTES + 1))
        sequence = Signal(8)
        done_before = Signal()
        previous = Signal(8)
        operation = Signal(8)
        place = Signal(ADDRESS_BITS)
        value = Signal(32)
        left = Signal(8)
        status = Signal(8)
        m.d.comb += [
            self.address.eq(index),
            self.memory_address.eq(place),
            self.memory_write_data.eq(self.byte),
            axi.awaddr.eq(place),
            axi.araddr.eq(place),
            axi.wdata.eq(value),
            axi.wstrb.eq(0xF),
        ]
        fetched = waited[-1]
        m.d.sync += waited.eq(Cat(1, waited))

        # Compared in the cycle before: each of them stays for longer.
        def known(value, name: str) -> Signal:
            register = Signal(name=name)
            m.d.sync += register.eq(value)
            return register

        reads_register = operation == Operation.READ_REGISTER
        writes_register = operation == Operation.WRITE_REGISTER
        writes = writes_register | (operation == Operation.WRITE_MEMORY)
        is_register = known(reads_register | writes_register, "is_register")
        repeats = known(done_before & (sequence == previous) & writes, "repeats")
        ends_header = known(index == HEADER_BYTES - 1, "ends_header")
        ends_value = known(index == HEADER_BYTES + 3, "ends_value")
        ends_frame = known(index + 1 == self.length, "ends_frame")
        extra = [known(self.length == HEADER_BYTES + n, f"extra_{n}") for n in (0, 1, 4)]
        no_extra, one_extra, word_extra = extra
        some_extra = known(self.length > HEADER_BYTES, "some_extra")
        none_left, one_left = known(left == 0, "none_left"), known(left == 1, "one_left")

        def advance() -> None:
            m.d.sync += [index.eq(index + 1), waited.eq(0)]

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [index.eq(0), waited.eq(0), status.eq(DONE), left.eq(0)]
                with m.If(self.ready):
                    m.next = "HEADER"
            with m.State("HEADER"), m.If(fetched):
                advance()
                m.d.sync += [
                    sequence.eq(operation),
                    operation.eq(place[:8]),
                    place.eq((place >> 8) | (self.byte << (ADDRESS_BITS - 8))),
                ]
                with m.If(ends_header):
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.next = "REFUSE"
                with m.Switch(operation):
                    with m.Case(Operation.READ_REGISTER), m.If(no_extra):
                        m.next = "READ_REGISTER"
                    with m.Case(Operation.WRITE_REGISTER), m.If(word_extra):
                        m.next = "VALUE"
                    with m.Case(Operation.READ_MEMORY), m.If(one_extra):
                        m.next = "COUNT"
                    with m.Case(Operation.WRITE_MEMORY), m.If(some_extra):
                        m.next = "WRITE_MEMORY"
                with m.If(~no_extra & ~some_extra):
                    m.next = "REFUSE"
                with m.Elif(repeats):
                    m.next = "REPLY"
            with m.State("REFUSE"):
                m.d.sync += [status.eq(REFUSED), left.eq(0)]
                m.next = "REPLY"
            with m.State("VALUE"), m.If(fetched):
                advance()
                m.d.sync += value.eq((value >> 8) | (self.byte << 24))
                with m.If(ends_value):
                    m.next = "WRITE_ADDRESS"
            with m.State("WRITE_ADDRESS"):
                m.d.comb += [axi.awvalid.eq(1), axi.wvalid.eq(1), axi.bready.eq(1)]
                with m.If(axi.awready & axi.wready):
                    m.next = "WRITE_ANSWER"
            with m.State("WRITE_ANSWER"):
                m.d.comb += axi.bready.eq(1)
                with m.If(axi.bvalid):
                    m.next = "REPLY"
            with m.State("READ_REGISTER"):
                m.d.comb += axi.arvalid.eq(1)
                with m.If(axi.arready):
                    m.next = "READ_ANSWER"
            with m.State("READ_ANSWER"):
                m.d.comb += axi.rready.eq(1)
                with m.If(axi.rvalid):
                    m.d.sync += [value.eq(axi.rdata), left.eq(4)]
                    m.next = "REPLY"
            with m.State("COUNT"), m.If(fetched):
                m.d.sync += left.eq(self.byte)
                m.next = "REPLY"
                with m.If(self.memory_error | (self.byte == 0)):
                    m.next = "REFUSE"
            with m.State("WRITE_MEMORY"):
                m.d.comb += self.memory_write.eq(fetched)
                with m.If(self.memory_done & fetched):
                    advance()
                    m.d.sync += place.eq(place + 1)
                    with m.If(ends_frame):
                        m.next = "REPLY"
                    with m.If(self.memory_error):
                        m.next = "REFUSE"
            with m.State("REPLY"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.byte.eq(sequence)]
                with m.If(self.o.ready):
                    m.d.sync += [previous.eq(sequence), done_before.eq(status == DONE)]
                    m.next = "STATUS"
            with m.State("STATUS"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.byte.eq(status),
                    self.o.payload.last.eq(none_left),
                ]
                with m.If(self.o.ready):
                    m.next = "RELEASE"
                    with m.If(~none_left):
                        m.next = "REGISTER_BYTES"
                        with m.If(~is_register):
                            m.next = "FETCH"
            with m.State("REGISTER_BYTES"):
                m.d.comb += self._offer(value[:8], one_left)
                with m.If(self.o.ready):
                    m.d.sync += [value.eq(value >> 8), left.eq(left - 1)]
                    m.next = "NEXT_REGISTER_BYTE"
                    with m.If(one_left):
                        m.next = "RELEASE"
            with m.State("NEXT_REGISTER_BYTE"):
                m.next = "REGISTER_BYTES"
            with m.State("FETCH"):
                m.d.comb += self.memory_read.eq(1)
                with m.If(self.memory_done):
                    m.d.sync += [
                        value.eq(Mux(self.memory_error, 0, self.memory_read_data)),
                        place.eq(place + 1),
                    ]
                    m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += self._offer(value[:8], one_left)
                with m.If(self.o.ready):
                    m.d.sync += left.eq(left - 1)
                    m.next = "FETCH"
                    with m.If(one_left):
                        m.next = "RELEASE"
            with m.State("RELEASE"):
                m.d.comb += self.release.eq(1)
                m.next = "IDLE"
        return m

    def _offer(self, byte, last) -> list:
        return [
            self.o.valid.eq(1),
            self.o.payload.byte.eq(byte),
            self.o.payload.last.eq(last),
        ]
