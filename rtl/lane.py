"""Lane: bias, requantisation and residual addition of one output a cycle."""

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import Config

__all__ = ["Lane", "multipliers_per_lane", "parameters_layout", "scale_layout"]

REQUANTISE = 6
ADD = 9
FRACTION = 12
"""Bits that remain for the second rounding where halves go to even."""


def multipliers_per_lane(residual: bool) -> int:
    """Multipliers of one lane: one to requantise, three more to add."""
    return 4 if residual else 1


def scale_layout() -> data.StructLayout:
    """An output channel's scale: ``multiplier`` / 2**31 * 2**``shift``."""
    return data.StructLayout({"multiplier": 31, "shift": signed(6)})


def parameters_layout() -> data.StructLayout:
    """What a schedule word says to all lanes alike."""
    return data.StructLayout(
        {
            "zero": signed(8),
            "low": signed(8),
            "high": signed(8),
            "even": 1,
            "add": 1,
            "zero_a": signed(8),
            "multiplier_a": 31,
            "shift_a": 5,
            "zero_b": signed(8),
            "multiplier_b": 31,
            "shift_b": 5,
            "multiplier_out": 31,
            "shift_out": 5,
            "zero_out": signed(8),
            "low_out": signed(8),
            "high_out": signed(8),
        }
    )


class Lane(wiring.Component):
    """An accumulator in, an int8 out, by TensorFlow Lite's double-rounding arithmetic.

    ``y = clamp(requantise(accumulator + bias) + zero)``; where ``add`` is set, y and the residual
    byte are then rescaled to a common scale with 20 bits more, added, and requantised again.
    Where ``even`` is set, requantising rounds to the nearest integer, halves to even: the product
    keeps :data:`FRACTION` bits more, and its last rounding decides.

    Initiation interval 1, latency :meth:`latency`; the residual byte is due :attr:`RESIDUAL_DELAY`
    cycles after the accumulator. Never stalls. Parameters must hold while outputs are under way.

    Members
    -------
    accumulator, bias, scale : operands
    residual : second addend
    parameters : what the schedule word says
    o : int8 result
    """

    accumulator: Signal
    bias: Signal
    scale: data.View
    residual: Signal
    parameters: data.View
    o: Signal

    RESIDUAL_DELAY = REQUANTISE

    def __init__(self, config: Config):
        self._residual = config.residual
        self._even = config.even
        super().__init__(
            {
                "accumulator": In(signed(config.accumulator_bits)),
                "bias": In(signed(32)),
                "scale": In(scale_layout()),
                "residual": In(signed(8)),
                "parameters": In(parameters_layout()),
                "o": Out(signed(8)),
            }
        )

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles from accumulator to result."""
        return REQUANTISE + (ADD if config.residual else 0)

    @staticmethod
    def _register(m: Module, value, name: str, shape=None) -> Signal:
        register = Signal(value.shape() if shape is None else shape, name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    @staticmethod
    def _rounded(value: Signal, shift):
        """``value / 2**shift``, rounded half away from zero; a combinational value."""
        half = (1 << shift)[1:]
        return (value + half - ((shift != 0) & (value < 0))) >> shift

    def _requantise(self, m: Module, x, multiplier, right, zero, low, high, name: str) -> Signal:
        """Four stages after ``x``: two of multiplication, rounding doubling, rounding shift; then
        the zero point and the clamp."""
        product = self._register(m, x * multiplier, f"{name}_product")
        product = self._register(m, product, f"{name}_product_late")
        wide = len(x)
        if self._even:
            shifted = self._scaled_either_way(m, product, right, name, wide)
        else:
            upper = (product + (1 << 30)) >> 31
            doubled = self._register(m, upper, f"{name}_doubled", signed(wide))
            rounded = self._rounded(doubled, right)
            shifted = self._register(m, rounded, f"{name}_shifted", signed(wide))
        placed = Signal(signed(34), name=f"{name}_placed")
        m.d.comb += placed.eq(shifted + zero)
        clamped = Mux(placed < low, low, Mux(placed > high, high, placed))
        return self._register(m, clamped, f"{name}_clamped", signed(8))

    def _scaled_either_way(self, m: Module, product: Signal, right, name: str, wide: int):
        """``product / 2**(31 + right)`` in two stages, rounded as ``even`` says."""
        even = self.parameters.even
        fine = Signal(signed(wide + FRACTION), name=f"{name}_fine")
        first = Mux(even, 1 << (30 - FRACTION), 1 << 30)
        m.d.comb += fine.eq((product + first) >> (31 - FRACTION))
        kept = Cat(fine[:FRACTION] & even.replicate(FRACTION), fine[FRACTION:])
        doubled = self._register(m, kept, f"{name}_doubled", signed(wide + FRACTION))
        half = (1 << (FRACTION - 1)) << right
        raised = Signal(signed(33 + FRACTION), name=f"{name}_raised")
        m.d.comb += raised.eq(doubled + half - (~even & (doubled < 0)))
        below = ((1 << FRACTION) << right) - 1
        was_half = self._register(m, even & ((raised & below) == 0), f"{name}_was_half")
        whole = (raised >> FRACTION) >> right
        shifted = self._register(m, whole, f"{name}_shifted", signed(wide))
        return Cat(shifted[0] & ~was_half, shifted[1:]).as_signed()

    def _rescale(self, m: Module, byte, zero, multiplier, shift, name: str) -> Signal:
        """Three stages: ``requantise((byte - zero) << 20)`` with the shift folded into the
        rounding."""
        difference = Signal(signed(9), name=f"{name}_difference")
        m.d.comb += difference.eq(byte - zero)
        product = self._register(m, difference * multiplier, f"{name}_product")
        doubled = self._register(m, (product + (1 << 10)) >> 11, f"{name}_doubled", signed(32))
        return self._register(m, self._rounded(doubled, shift), f"{name}_scaled", signed(32))

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        left = Signal(unsigned(5))
        right = Signal(unsigned(5))
        late_right = right
        m.d.comb += left.eq(Mux(self.scale.shift > 0, self.scale.shift, 0))
        m.d.comb += right.eq(Mux(self.scale.shift < 0, -self.scale.shift, 0))
        wide = min(32, len(self.accumulator))
        biased = Signal(signed(wide))
        m.d.comb += biased.eq(self.accumulator + self.bias)
        x = self._register(m, biased << left, "biased_left", signed(wide))
        multiplier = self._register(m, self.scale.multiplier, "multiplier")
        for stage in range(4):
            late_right = self._register(m, late_right, f"right_{stage}")
        y = self._requantise(m, x, multiplier, late_right, p.zero, p.low, p.high, "conv")
        if not self._residual:
            m.d.comb += self.o.eq(y)
            return m

        a = self._rescale(m, y, p.zero_a, p.multiplier_a, p.shift_a, "a")
        b = self._rescale(m, self.residual, p.zero_b, p.multiplier_b, p.shift_b, "b")
        total = self._register(m, a + b, "total", signed(32))
        added = self._requantise(
            m, total, p.multiplier_out, p.shift_out, p.zero_out, p.low_out, p.high_out, "sum"
        )
        for stage in range(ADD):
            y = self._register(m, y, f"passed_{stage}")
        m.d.comb += self.o.eq(Mux(p.add, added, y))
        return m
