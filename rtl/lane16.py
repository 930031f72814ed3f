"""Lane16: bias, rounding shift and combination with a second operand of one int16 a cycle."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .compare import less

__all__ = ["Lane16", "parameters_layout"]

REQUANTISE = 6
ADD = 2
MULTIPLY = 7

NARROW = 18
"""Bits that hold twice any int16, and tell values that are no int16."""


def parameters_layout() -> data.StructLayout:
    """What a schedule word says to all lanes alike; at most one of ``add`` and ``multiply``."""
    return data.StructLayout(
        {
            "shift": 6,
            "low": signed(16),
            "high": signed(16),
            "add": 1,
            "multiply": 1,
            "shift_out": 6,
            "low_out": signed(16),
            "high_out": signed(16),
        }
    )


class Lane16(wiring.Component):
    """An accumulator in, an int16 out, by shifts that round halves up; nothing ever wraps.

    ``v = clamp((accumulator + bias) / 2**shift, low, high)``. Where ``add`` is set, the result is
    ``clamp(v + residual, low_out, high_out)``; where ``multiply`` is set,
    ``clamp(v * residual / 2**shift_out, low_out, high_out)``; otherwise v. Rounding is
    ``(x + 2**(shift - 1)) >> shift``, and none for a shift of 0.

    Initiation interval 1, latency :meth:`latency`; the residual is due :attr:`RESIDUAL_DELAY`
    cycles after the accumulator. Never stalls. Parameters must hold while outputs are under way.
    One multiplier where built with ``multiply``, none otherwise.

    Parameters
    ----------
    accumulator_bits, bias_bits
        Widths of the two's complement operands.
    add, multiply
        Which combinations with the residual are built; members of those that are not are ignored.

    Members
    -------
    accumulator, bias : operands
    residual : second operand
    parameters : what the schedule word says
    o : int16 result

    Raises
    ------
    ValueError
        If a width is less than 16.
    """

    accumulator: Signal
    bias: Signal
    residual: Signal
    parameters: data.View
    o: Signal

    RESIDUAL_DELAY = REQUANTISE

    def __init__(self, accumulator_bits: int, *, bias_bits: int, add: bool, multiply: bool):
        for name, bits in (("accumulator_bits", accumulator_bits), ("bias_bits", bias_bits)):
            if bits < 16:
                raise ValueError(f"{name} must be at least 16, not {bits}")
        self._add, self._multiply = add, multiply
        super().__init__(
            {
                "accumulator": In(signed(accumulator_bits)),
                "bias": In(signed(bias_bits)),
                "residual": In(signed(16)),
                "parameters": In(parameters_layout()),
                "o": Out(signed(16)),
            }
        )

    @staticmethod
    def latency(*, add: bool, multiply: bool) -> int:
        """Cycles from accumulator to result."""
        return REQUANTISE + (MULTIPLY if multiply else ADD if add else 0)

    @staticmethod
    def multipliers(*, multiply: bool) -> int:
        """Multipliers of one lane."""
        return 1 if multiply else 0

    @staticmethod
    def _register(m: Module, value, name: str, shape=None) -> Signal:
        register = Signal(value.shape() if shape is None else shape, name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    def _clamped(self, m: Module, x, low, high, name: str) -> Signal:
        clamped = Mux(less(x, low), low, Mux(less(high, x), high, x))
        return self._register(m, clamped, f"{name}_clamped", signed(16))

    def _rounded(self, m: Module, x, shift, name: str) -> Signal:
        """``x / 2**shift`` to the nearest integer, four stages after ``x``; not exact, but still
        no int16, where it is none."""
        twice = Cat(0, x).as_signed()
        coarse = self._register(m, twice >> Cat(Const(0, 3), shift[3:]), f"{name}_coarse")
        fine = self._register(m, coarse >> shift[:3], f"{name}_fine")
        above, sign = fine[NARROW - 1 :], fine[-1]
        saturated = Mux(sign, -(1 << (NARROW - 1)), (1 << (NARROW - 1)) - 1)
        narrow = Mux(above.all() | ~above.any(), fine[:NARROW].as_signed(), saturated)
        narrow = self._register(m, narrow, f"{name}_narrow", signed(NARROW))
        return self._register(m, (narrow + 1) >> 1, f"{name}_rounded", signed(NARROW))

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        biased = self._register(m, self.accumulator + self.bias, "biased")
        v = self._rounded(m, biased, p.shift, "sum")
        v = self._clamped(m, v, p.low, p.high, "sum")
        if not self._add and not self._multiply:
            m.d.comb += self.o.eq(v)
            return m

        second = Mux(p.add, self.residual, 0) if self._add else Const(0, signed(16))
        combined = self._register(m, v + second, "total")
        combines = p.add if self._add else Const(0)
        if self._multiply:
            product = self._register(m, v * self.residual, "product")
            product = self._register(m, product, "product_late")
            combined = self._register(m, combined, "total_late")
            chosen = Signal(signed(32))
            shift = Signal.like(p.shift_out)
            m.d.comb += [
                chosen.eq(Mux(p.multiply, product, combined)),
                shift.eq(Mux(p.multiply, p.shift_out, 0)),
            ]
            combined = self._rounded(m, chosen, shift, "product")
            combines = combines | p.multiply
        low = Signal(signed(16))
        high = Signal(signed(16))
        m.d.comb += [
            low.eq(Mux(combines, p.low_out, -(1 << 15))),
            high.eq(Mux(combines, p.high_out, (1 << 15) - 1)),
        ]
        m.d.comb += self.o.eq(self._clamped(m, combined, low, high, "combined"))
        return m
