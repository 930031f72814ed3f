"""Reciprocal: an integer division, one quotient bit a cycle."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for

__all__ = ["Reciprocal"]


class Reciprocal(wiring.Component):
    """``o = (2**dividend_bits - 1) // divisor``, by restoring division.

    Latency :meth:`latency` from ``start``, initiation interval ``quotient_bits``; a start before
    that cuts the division short. No multiplier.

    Parameters
    ----------
    divisor_bits
        Width of the divisor, which is at least ``2**(dividend_bits - quotient_bits)``.
    dividend_bits, quotient_bits
        Width of the dividend, which is all ones, and of the quotient.

    Members
    -------
    start : takes the divisor
    divisor : held by the unit after ``start``
    o : the quotient, which stays until the next one is complete

    Raises
    ------
    ValueError
        If no divisor is large enough for the quotient.
    """

    start: Signal
    divisor: Signal
    o: Signal

    def __init__(self, divisor_bits: int, *, dividend_bits: int, quotient_bits: int):
        if not 0 < dividend_bits - quotient_bits < divisor_bits:
            raise ValueError(
                f"dividend_bits - quotient_bits must be from 1 to {divisor_bits - 1}, "
                f"not {dividend_bits - quotient_bits}"
            )
        self._head = dividend_bits - quotient_bits
        super().__init__({"start": In(1), "divisor": In(divisor_bits), "o": Out(quotient_bits)})

    @staticmethod
    def latency(quotient_bits: int) -> int:
        """Cycles from ``start`` to the quotient."""
        return quotient_bits + 1

    def elaborate(self, platform):
        m = Module()
        divisor = Signal.like(self.divisor, reset_less=True)
        remainder = Signal.like(self.divisor, reset_less=True)
        quotient = Signal.like(self.o, reset_less=True)
        left = Signal(bits_for(len(quotient) + 1))

        trial = Signal(len(divisor) + 1)
        fits = Signal()
        following = Signal.like(quotient)
        m.d.comb += [
            trial.eq(Cat(Const(1), remainder)),
            fits.eq(trial >= divisor),
            following.eq(Cat(fits, quotient)),
        ]
        with m.If(left != 0):
            m.d.sync += [
                remainder.eq(Mux(fits, trial - divisor, trial)),
                quotient.eq(following),
                left.eq(left - 1),
            ]
        with m.If(left == 1):
            m.d.sync += self.o.eq(following)
        with m.If(self.start):
            m.d.sync += [
                divisor.eq(self.divisor),
                remainder.eq((1 << self._head) - 1),
                left.eq(len(quotient)),
            ]
        return m
