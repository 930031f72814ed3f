"""Lane: bias, requantisation and residual addition of one output a cycle."""

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import Config
from .delay import delayed
from .product import Product, multiplied

__all__ = ["Lane", "multipliers_per_lane", "parameters_layout", "scale_layout"]

FINISH = Product.LATENCY + 5
"""Cycles from a value at hand to its requantised byte."""

REQUANTISE = 2 + FINISH
RESCALE = 1 + Product.LATENCY + 3
ADD = RESCALE + 1 + FINISH
FRACTION = 12
"""Bits that remain for the second rounding where halves go to even."""

FACTOR = 32
"""Bits of a multiplier, which is positive, as a signed number."""

DIFFERENCE = 9
TOTAL = 32
"""Bits of a byte less its zero point, and of the sum of two such, scaled."""


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

    @classmethod
    def products(cls, config: Config) -> set[tuple[int, int]]:
        """Widths of the factors of each :class:`~rtl.product.Product` in it."""
        added = {(DIFFERENCE, FACTOR), (TOTAL, FACTOR)} if config.residual else set()
        return {(cls._width(config), FACTOR)} | added

    @staticmethod
    def _width(config: Config) -> int:
        """Bits of an accumulator with its bias."""
        return min(32, config.accumulator_bits)

    @staticmethod
    def _register(m: Module, value, name: str, shape=None) -> Signal:
        register = Signal(value.shape() if shape is None else shape, name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    def _requantise(self, m: Module, x, multiplier, right, zero, low, high, name: str) -> Signal:
        """:data:`FINISH` stages: the product, rounding doubling, rounding shift in two, the zero
        point, the clamp. ``multiplier`` and ``right`` come with ``x``."""
        product = multiplied(m, x, Cat(multiplier, 0).as_signed(), name)
        right = delayed(m, right, Product.LATENCY, f"{name}_right")
        late_right = self._register(m, right, f"{name}_right_late")
        later_right = self._register(m, late_right, f"{name}_right_later")
        wide = len(x)
        if self._even:
            even = self.parameters.even
            upper = product >> (30 - FRACTION)
            first = Mux(even, 1, 1 << FRACTION)
            fine = Signal(signed(wide + 1 + FRACTION), name=f"{name}_fine")
            m.d.comb += fine.eq((upper + first) >> 1)
            kept = Cat(fine[:FRACTION] & even.replicate(FRACTION), fine[FRACTION:]).as_signed()
            doubled = self._register(m, kept, f"{name}_doubled")
            half = (1 << (FRACTION - 1)) << late_right
            away = ~even & (doubled < 0)
            raised = self._register(m, doubled + half - away, f"{name}_raised")
            # Whatever lies below the last bit that stays: nothing, if the value was a half.
            mask = Signal(len(raised), name=f"{name}_mask")
            with m.Switch(late_right):
                for places in range(1 << len(right)):
                    with m.Case(places):
                        m.d.comb += mask.eq((1 << (FRACTION + places)) - 1)
            below = self._register(m, mask, f"{name}_below") & raised
            some = Cat(below[i : i + 8].any() for i in range(0, len(raised), 8))
            rest = self._register(m, some, f"{name}_rest")
            whole = raised >> FRACTION
            shifted = self._register(m, whole >> later_right, f"{name}_shifted")
            shifted = Cat(shifted[0] & (rest.any() | ~even), shifted[1:]).as_signed()
        else:
            upper = product >> 30
            doubled = self._register(m, (upper + 1) >> 1, f"{name}_doubled")
            half = (1 << late_right)[1:]
            away = (late_right != 0) & (doubled < 0)
            raised = self._register(m, doubled + half - away, f"{name}_raised")
            shifted = self._register(m, raised >> later_right, f"{name}_shifted")
        placed = self._register(m, shifted + zero, f"{name}_placed")
        clamped = Mux(placed < low, low, Mux(placed > high, high, placed))
        return self._register(m, clamped, f"{name}_clamped", signed(8))

    def _rescale(self, m: Module, byte, zero, multiplier, shift, name: str) -> Signal:
        """:data:`RESCALE` stages: ``requantise((byte - zero) << 20)`` with the shift folded into
        the rounding."""
        difference = self._register(m, byte - zero, f"{name}_difference", signed(DIFFERENCE))
        product = multiplied(m, difference, Cat(multiplier, 0).as_signed(), name)
        doubled = self._register(m, ((product >> 10) + 1) >> 1, f"{name}_doubled", signed(TOTAL))
        half = (1 << shift)[1:]
        away = (shift != 0) & (doubled < 0)
        raised = self._register(m, doubled + half - away, f"{name}_raised", signed(TOTAL))
        return self._register(m, raised >> shift, f"{name}_scaled", signed(TOTAL))

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        shift = self.scale.shift
        wide = len(self.accumulator)
        biased = self._register(m, self.accumulator + self.bias, "biased", signed(min(32, wide)))
        left = self._register(m, Mux(shift > 0, shift, 0), "left", unsigned(5))
        x = self._register(m, biased << left, "biased_left", biased.shape())
        right = delayed(m, Mux(shift < 0, -shift, 0)[:5], 2, "right")
        multiplier = delayed(m, self.scale.multiplier, 2, "multiplier")
        y = self._requantise(m, x, multiplier, right, p.zero, p.low, p.high, "conv")
        if not self._residual:
            m.d.comb += self.o.eq(y)
            return m

        a = self._rescale(m, y, p.zero_a, p.multiplier_a, p.shift_a, "a")
        b = self._rescale(m, self.residual, p.zero_b, p.multiplier_b, p.shift_b, "b")
        total = self._register(m, a + b, "total", signed(TOTAL))
        added = self._requantise(
            m, total, p.multiplier_out, p.shift_out, p.zero_out, p.low_out, p.high_out, "sum"
        )
        y = delayed(m, y, ADD, "passed")
        m.d.comb += self.o.eq(Mux(p.add, added, y))
        return m
