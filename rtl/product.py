"""Product: a signed product in stages, the same module wherever the factors are as wide."""

from collections.abc import Iterable

from amaranth import ClockSignal, Instance, Module, ResetSignal, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed

__all__ = ["Product", "multiplied", "products"]


class Product(wiring.Component):
    """``p = a * b``, :attr:`LATENCY` cycles after the factors.

    Initiation interval 1; never stalls. This is the plain body, emitted once for each pair of
    widths as the module :attr:`name`; mappings to DSP slices replace it, and keep its latency.

    Parameters
    ----------
    a_bits, b_bits
        Widths of the factors, both signed.

    Members
    -------
    a, b : factors
    p : the product
    """

    a: Signal
    b: Signal
    p: Signal

    LATENCY = 5

    def __init__(self, a_bits: int, b_bits: int):
        self.name = self.named(a_bits, b_bits)
        ports = {"a": In(signed(a_bits)), "b": In(signed(b_bits))}
        super().__init__(ports | {"p": Out(signed(a_bits + b_bits))})

    @staticmethod
    def named(a_bits: int, b_bits: int) -> str:
        """The module's name."""
        return f"product_{a_bits}x{b_bits}"

    def elaborate(self, platform):
        m = Module()
        a, b = delayed(m, self.a, 1, "a"), delayed(m, self.b, 1, "b")
        product = a.as_signed() * b.as_signed()
        m.d.comb += self.p.eq(delayed(m, product, self.LATENCY - 1, "product"))
        return m


def products(widths: Iterable[tuple[int, int]]) -> dict[str, wiring.Component]:
    """The modules for factors of these widths, by their Verilog names."""
    return {Product.named(a, b): Product(a, b) for a, b in sorted(set(widths))}


def multiplied(m: Module, a, b, name: str) -> Signal:
    """``a * b`` of two signed values, :attr:`Product.LATENCY` cycles later, by an instance of
    :class:`Product`."""
    p = Signal(signed(len(a) + len(b)), name=f"{name}_product")
    m.submodules[f"{name}_times"] = Instance(
        Product.named(len(a), len(b)),
        i_clk=ClockSignal(),
        i_rst=ResetSignal(),
        i_a=a,
        i_b=b,
        o_p=p,
    )
    return p
