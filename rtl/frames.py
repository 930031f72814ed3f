"""Frames: bytes with an end, a check sum, and a way to find the next one after noise."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from .config import bits_for
from .memory import Memory

__all__ = ["END", "ESCAPE", "ESCAPED_END", "ESCAPED_ESCAPE", "Deframer", "Framer"]

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD
"""The bytes of SLIP, RFC 1055."""

CHECK_BYTES = 4


def _crc(m: Module, name: str) -> Any:
    crc = CRC32_ISO_HDLC(8).create()
    m.submodules[name] = crc
    return crc


class Deframer(wiring.Component):
    """Collects the bytes between two ENDs, and offers them if their CRC-32 is right.

    Whatever is longer than the memory, ends inside an escape, or has another CRC is dropped without
    a trace, and so is everything that comes while a frame is on offer: the sender asks again.

    Parameters
    ----------
    depth
        Bytes of the longest frame, its check sum included.

    Members
    -------
    valid, byte : received bytes
    ready : a whole frame is on offer
    length : its bytes, without the check sum
    address, data : byte ``address`` of it, two cycles later
    release : done with it
    """

    valid: Signal
    byte: Signal
    ready: Signal
    length: Signal
    address: Signal
    data: Signal
    release: Signal

    def __init__(self, depth: int):
        self._depth = depth
        super().__init__(
            {
                "valid": In(1),
                "byte": In(8),
                "ready": Out(1),
                "length": Out(bits_for(depth + 1)),
                "address": In(bits_for(depth)),
                "data": Out(8),
                "release": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(8, depth=self._depth)
        crc = _crc(m, "crc")
        count = Signal(bits_for(self._depth + 1))
        escaped = Signal()
        spoilt = Signal()
        # A byte is looked at when it is known what it is.
        valid, byte = Signal(), Signal(8)
        marks = (END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE)
        is_mark = [Signal(name=f"is_{mark:x}") for mark in marks]
        end, begins_escape, escaped_end, escaped_escape = is_mark
        m.d.sync += [valid.eq(self.valid), byte.eq(self.byte)]
        m.d.sync += [
            found.eq(self.byte == mark) for found, mark in zip(is_mark, marks, strict=True)
        ]
        plain = Signal(8)
        m.d.comb += [
            plain.eq(byte),
            memory.read_address.eq(self.address),
            self.data.eq(memory.read_data),
            memory.write_address.eq(count),
            memory.write_data.eq(plain),
            crc.data.eq(plain),
        ]
        with m.If(escaped & escaped_end):
            m.d.comb += plain.eq(END)
        with m.If(escaped & escaped_escape):
            m.d.comb += plain.eq(ESCAPE)
        known = escaped_end | escaped_escape
        with m.If(self.ready), m.If(self.release):
            # A frame that began meanwhile has lost its beginning.
            m.d.sync += [self.ready.eq(0), spoilt.eq(1)]
        with m.Elif(valid & end):
            whole = crc.match_detected & ~spoilt & ~escaped & (count > CHECK_BYTES)
            m.d.sync += [
                self.ready.eq(whole),
                self.length.eq(count - CHECK_BYTES),
                count.eq(0),
                spoilt.eq(0),
                escaped.eq(0),
            ]
            m.d.comb += crc.start.eq(1)
        with m.Elif(valid & begins_escape):
            m.d.sync += [escaped.eq(1), spoilt.eq(spoilt | escaped)]
        with m.Elif(valid):
            m.d.sync += escaped.eq(0)
            with m.If((escaped & ~known) | (count == self._depth)):
                m.d.sync += spoilt.eq(1)
            with m.Else():
                m.d.comb += [memory.write_enable.eq(1), crc.valid.eq(1)]
                m.d.sync += count.eq(count + 1)
        return m


class Framer(wiring.Component):
    """Adds the CRC-32, the escapes, and an END before and after.

    Members
    -------
    i : bytes; ``last`` marks the end of a frame
    o : bytes for the line
    """

    i: Any
    o: Any

    def __init__(self):
        payload = data.StructLayout({"byte": 8, "last": 1})
        super().__init__({"i": In(stream.Signature(payload)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        crc = _crc(m, "crc")
        byte, last = Signal(8), Signal()
        special, checking = Signal(), Signal()
        place = Signal(range(CHECK_BYTES))
        m.d.comb += [crc.data.eq(byte), self.o.payload.eq(END)]

        def onward() -> None:
            with m.If(checking):
                m.d.sync += place.eq(place + 1)
                m.next = "CHECK"
                with m.If(place == CHECK_BYTES - 1):
                    m.next = "AFTER"
            with m.Else():
                m.next = "BYTE"
                with m.If(last):
                    m.next = "CHECK"

        # Each byte is taken, then looked at, then sent whole: first its escape, where it needs one.
        with m.FSM():
            with m.State("BEFORE"):
                m.d.sync += checking.eq(0)
                m.d.comb += self.o.valid.eq(self.i.valid)
                with m.If(self.i.valid & self.o.ready):
                    m.d.comb += crc.start.eq(1)
                    m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [byte.eq(self.i.payload.byte), last.eq(self.i.payload.last)]
                with m.If(self.i.valid):
                    m.next = "LOOK"
            with m.State("CHECK"):
                m.d.sync += [byte.eq(crc.crc.word_select(place, 8)), checking.eq(1)]
                m.next = "LOOK"
            with m.State("LOOK"):
                m.d.comb += crc.valid.eq(~checking)
                m.d.sync += special.eq((byte == END) | (byte == ESCAPE))
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(Mux(special, ESCAPE, byte)),
                ]
                with m.If(self.o.ready & special):
                    m.next = "ESCAPED"
                with m.Elif(self.o.ready):
                    onward()
            with m.State("ESCAPED"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(Mux(byte == END, ESCAPED_END, ESCAPED_ESCAPE)),
                ]
                with m.If(self.o.ready):
                    onward()
            with m.State("AFTER"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "BEFORE"
        return m
