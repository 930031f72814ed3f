"""Lane: bias, requantisation and residual addition of one output a cycle."""

from collections.abc import Iterable

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .compare import less
from .config import Config
from .delay import delayed
from .product import Product, multiplied

__all__ = ["Lane", "multipliers_per_lane", "parameters_layout", "scale_layout"]

FINISH = Product.LATENCY + 7
"""Cycles from a value at hand to its requantised byte."""

REQUANTISE = 3 + FINISH
RESCALE = 1 + Product.LATENCY + 4
ADD = RESCALE + 1 + FINISH
FRACTION = 12
"""Bits that remain for the second rounding where halves go to even."""

FACTOR = 32
"""Bits of a multiplier, which is positive, as a signed number."""

DIFFERENCE = 9
TOTAL = 32
"""Bits of a byte less its zero point, and of the sum of two such, scaled."""

NARROW = 10
"""Bits of a shifted value: one that does not fit lies beyond every byte, also with a zero point."""

FINE = 3
"""Shifts by so many bits of their distance are a stage of their own."""


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


def _one_of(value: Value, values: Iterable[int]) -> Value:
    """Whether ``value`` is one of ``values``, as one table."""
    table = sum(1 << one for one in values)
    return Const(table, 1 << len(value)).bit_select(value, 1)


def _below(value: Value, bits: int) -> Value:
    """As many ones as ``value`` says, then zeros."""
    every = range(1 << len(value))
    return Cat(_one_of(value, every[i + 1 :]) for i in range(bits))


class Lane(wiring.Component):
    """An accumulator in, an int8 out, by TensorFlow Lite's double-rounding arithmetic.

    ``y = clamp(requantise(accumulator + bias) + zero)``; where ``add`` is set, y and the residual
    byte are then rescaled to a common scale with 20 bits more, added, and requantised again.
    Where ``even`` is set, requantising rounds to the nearest integer, halves to even: the product
    keeps :data:`FRACTION` bits more, and its last rounding decides.

    Initiation interval 1, latency :meth:`latency`; the residual byte is due :attr:`RESIDUAL_DELAY`
    cycles after the accumulator, ``multiplier`` :attr:`MULTIPLIER_DELAY` and ``right``
    :attr:`RIGHT_DELAY`. Never stalls. Parameters must hold while outputs are under way.

    Members
    -------
    accumulator, bias : operands
    left, right : the scale's shift, of which either uses one sign
    multiplier : the scale's multiplier
    residual : second addend
    parameters : what the schedule word says
    o : int8 result
    """

    accumulator: Signal
    bias: Signal
    left: Signal
    multiplier: Signal
    right: Signal
    residual: Signal
    parameters: data.View
    o: Signal

    RESIDUAL_DELAY = REQUANTISE
    MULTIPLIER_DELAY = 3
    RIGHT_DELAY = MULTIPLIER_DELAY + Product.LATENCY

    def __init__(self, config: Config):
        self._residual = config.residual
        self._even = config.even
        multiplier, shift = (scale_layout()[name].shape for name in ("multiplier", "shift"))
        super().__init__(
            {
                "accumulator": In(signed(config.accumulator_bits)),
                "bias": In(signed(32)),
                "left": In(shift),
                "multiplier": In(multiplier),
                "right": In(shift),
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
        """:data:`FINISH` stages: the product, rounding doubling, rounding shift in three, what does
        not fit :data:`NARROW` bits, the zero point, the clamp. ``multiplier`` comes with ``x``,
        ``right`` with the product."""
        product = multiplied(m, x, Cat(multiplier, 0).as_signed(), name)
        late_right = self._register(m, right, f"{name}_right_late")
        wide = len(x)
        if self._even:
            even = self.parameters.even
            upper = product >> (30 - FRACTION)
            first = Mux(even, 1, 1 << FRACTION)
            fine = Signal(signed(wide + 1 + FRACTION), name=f"{name}_fine")
            m.d.comb += fine.eq((upper + first) >> 1)
            kept = Cat(fine[:FRACTION] & even.replicate(FRACTION), fine[FRACTION:]).as_signed()
            doubled = self._register(m, kept, f"{name}_doubled")
            away = ~even & (doubled < 0)
            raised = self._raised(m, doubled, right, FRACTION, away, name)
            # Whatever lies below the last bit that stays: nothing, if the value was a half.
            mask = _below(late_right, len(raised) - FRACTION)
            mask = Cat(Const(-1, FRACTION), self._register(m, mask, f"{name}_below"))
            below = mask & raised
            some = Cat(below[i : i + 8].any() for i in range(0, len(raised), 8))
            rest = self._register(m, some, f"{name}_rest")
            clear = delayed(m, ~rest.any() & even, 1, f"{name}_clear")
            shifted = self._shifted(m, raised >> FRACTION, late_right, name)
            shifted = Cat(shifted[0] & ~clear, shifted[1:]).as_signed()
        else:
            upper = product >> 30
            doubled = self._register(m, (upper + 1) >> 1, f"{name}_doubled")
            raised = self._raised(m, doubled, right, 0, doubled < 0, name)
            shifted = self._shifted(m, raised, late_right, name)
        top = shifted[NARROW - 1 :]
        most = Cat(Const(-1, NARROW - 1), 0).as_signed()
        narrow = Mux(
            top.all() | ~top.any(),
            shifted[:NARROW].as_signed(),
            most ^ shifted[-1].replicate(NARROW),
        )
        narrowed = self._register(m, narrow.as_signed(), f"{name}_narrowed", signed(NARROW))
        placed = self._register(m, narrowed + zero, f"{name}_placed")
        clamped = Mux(less(placed, low), low, Mux(less(high, placed), high, placed))
        return self._register(m, clamped, f"{name}_clamped", signed(8))

    def _raised(self, m: Module, doubled, right, fraction: int, away, name: str, shape=None):
        """``doubled`` and half a unit of what is left after a shift by ``right`` places, which come
        a cycle earlier, and ``fraction`` more; with ``away`` a little less than half."""
        places = 1 << len(right)
        whole, under = [], []
        for bit in range(max(0, fraction - 1) + places - (not fraction)):
            place = bit - fraction + 1
            whole.append(_one_of(right, {place}) if place >= 0 else Const(0))
            under.append(_one_of(right, range(max(0, place + 1), places)))
        half = self._register(m, Cat(whole), f"{name}_half")
        less = self._register(m, Cat(under), f"{name}_half_less")
        return self._register(m, doubled + Mux(away, less, half), f"{name}_raised", shape)

    def _shifted(self, m: Module, value, right, name: str) -> Signal:
        """``value >> right`` in two stages; ``right`` comes a cycle earlier."""
        late = self._register(m, right, f"{name}_right_later")
        last = self._register(m, late[:FINE], f"{name}_right_last")
        coarse = self._register(m, value >> (late[FINE:] << FINE), f"{name}_coarse")
        return self._register(m, coarse >> last, f"{name}_shifted")

    def _rescale(self, m: Module, byte, zero, multiplier, shift, name: str) -> Signal:
        """:data:`RESCALE` stages: ``requantise((byte - zero) << 20)`` with the shift folded into
        the rounding."""
        difference = self._register(m, byte - zero, f"{name}_difference", signed(DIFFERENCE))
        product = multiplied(m, difference, Cat(multiplier, 0).as_signed(), name)
        doubled = self._register(m, ((product >> 10) + 1) >> 1, f"{name}_doubled", signed(TOTAL))
        raised = self._raised(m, doubled, shift, 0, doubled < 0, name, signed(TOTAL))
        return self._shifted(m, raised, shift, name)

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        wide = len(self.accumulator)
        biased = self._register(m, self.accumulator + self.bias, "biased", signed(min(32, wide)))
        left = self._register(m, Mux(self.left > 0, self.left, 0), "left_shift", unsigned(5))
        coarse = self._register(m, biased << (left[FINE:] << FINE), "biased_coarse", biased.shape())
        x = self._register(
            m, coarse << self._register(m, left[:FINE], "left_late"), "biased_left", biased.shape()
        )
        right = Mux(self.right < 0, -self.right, 0)[:5]
        y = self._requantise(m, x, self.multiplier, right, p.zero, p.low, p.high, "conv")
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
