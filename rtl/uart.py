"""UART: bytes on two wires, 8 data bits, no parity, one stop bit."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["Receiver", "Transmitter"]


def _checked(divisor: int) -> int:
    if divisor < 4:
        raise ValueError(f"divisor must be at least 4 cycles per bit, not {divisor}")
    return divisor


class Receiver(wiring.Component):
    """Samples each bit in its middle. A byte whose stop bit is not there is dropped.

    Bytes cannot wait: ``o`` is always taken.

    Parameters
    ----------
    divisor
        Cycles per bit.

    Members
    -------
    pin : the wire, asynchronous, high while idle
    valid, byte : a received byte, one cycle
    """

    pin: Signal
    valid: Signal
    byte: Signal

    def __init__(self, divisor: int):
        self._divisor = _checked(divisor)
        super().__init__({"pin": In(1), "valid": Out(1), "byte": Out(8)})

    def elaborate(self, platform):
        m = Module()
        pin = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.pin, pin, init=1)
        timer = Signal(range(self._divisor))
        left = Signal(range(11))
        bits = Signal(9, reset_less=True)
        m.d.sync += self.valid.eq(0)
        with m.If(left == 0), m.If(~pin):
            m.d.sync += [left.eq(10), timer.eq(self._divisor // 2 - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [
                timer.eq(self._divisor - 1),
                left.eq(left - 1),
                bits.eq(Cat(bits[1:], pin)),
            ]
            with m.If((left == 10) & pin):
                m.d.sync += left.eq(0)  # a spike, no start bit
            with m.If(left == 1):
                m.d.sync += [self.valid.eq(pin), self.byte.eq(bits[1:])]
        return m


class Transmitter(wiring.Component):
    """Sends a byte in ten times ``divisor`` cycles.

    Members
    -------
    i : stream of bytes
    pin : the wire
    """

    i: Any
    pin: Signal

    def __init__(self, divisor: int):
        self._divisor = _checked(divisor)
        super().__init__({"i": In(stream.Signature(8)), "pin": Out(1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self._divisor))
        left = Signal(range(11))
        bits = Signal(9, init=0x1FF)
        pin = Signal(init=1)
        m.d.comb += [self.i.ready.eq(left == 0), self.pin.eq(pin)]
        m.d.sync += pin.eq(1)
        with m.If(left == 0), m.If(self.i.valid):
            m.d.sync += [
                bits.eq(Cat(0, self.i.payload)),
                left.eq(10),
                timer.eq(self._divisor - 1),
            ]
        with m.Else():
            m.d.sync += pin.eq(bits[0])
            with m.If(timer != 0):
                m.d.sync += timer.eq(timer - 1)
            with m.Else():
                m.d.sync += [
                    timer.eq(self._divisor - 1),
                    left.eq(left - 1),
                    bits.eq(Cat(bits[1:], 1)),
                ]
        return m
