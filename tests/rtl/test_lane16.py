# amaranth: UnusedElaboratable=no
import pytest
from amaranth import ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.lane16 import Lane16, parameters_layout
from tests.rtl.bench_lane16 import LANES
from tests.rtl.blocks import bench


class Lanes(wiring.Component):
    """Instances of one lane side by side, so that a bench tries many values a cycle."""

    accumulator: Signal
    bias: Signal
    residual: Signal
    parameters: Signal
    o: Signal

    def __init__(self, accumulator_bits: int, bias_bits: int):
        self._widths = {"accumulator": accumulator_bits, "bias": bias_bits, "residual": 16}
        super().__init__(
            {name: In(width * LANES) for name, width in self._widths.items()}
            | {"parameters": In(parameters_layout()), "o": Out(16 * LANES)}
        )

    def elaborate(self, platform):
        m = Module()
        for i in range(LANES):
            operands = {
                f"i_{name}": getattr(self, name).word_select(i, width)
                for name, width in self._widths.items()
            }
            m.submodules[f"lane_{i}"] = Instance(
                "lane16",
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_parameters=self.parameters,
                o_o=self.o.word_select(i, 16),
                **operands,
            )
        return m


@pytest.mark.parametrize(
    ("accumulator_bits", "bias_bits", "add", "multiply"),
    [
        (48, 48, True, True),
        (48, 32, False, True),
        (40, 40, True, False),
        (32, 32, False, False),
        (16, 16, True, True),
    ],
)
def test_lane16(accumulator_bits, bias_bits, add, multiply):
    lane = Lane16(accumulator_bits, bias_bits=bias_bits, add=add, multiply=multiply)
    bench(
        Lanes(accumulator_bits, bias_bits),
        "bench_lane16",
        4,
        shared={"lane16": lane},
        accumulator_bits=accumulator_bits,
        bias_bits=bias_bits,
        add=int(add),
        multiply=int(multiply),
        latency=Lane16.latency(add=add, multiply=multiply),
        residual_delay=Lane16.RESIDUAL_DELAY,
    )


def test_refusals():
    with pytest.raises(ValueError, match=r"^accumulator_bits must be at least 16, not 15$"):
        Lane16(15, bias_bits=16, add=True, multiply=True)
    with pytest.raises(ValueError, match=r"^bias_bits must be at least 16, not 8$"):
        Lane16(48, bias_bits=8, add=True, multiply=True)
