from typing import Any

import pytest
from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.delay import delayed
from rtl.lane import Lane
from rtl.product import products
from tests.rtl.bench_lane import LANES
from tests.rtl.blocks import bench, config


class Lanes(wiring.Component):
    """Lanes side by side, with common parameters, so that a bench tries many values a cycle."""

    accumulator: Signal
    bias: Signal
    scale: Signal
    residual: Signal
    parameters: Signal
    o: Signal

    def __init__(self, lanes: list[Lane]):
        self._lanes = lanes
        signature = lanes[0].signature.members
        names = {"accumulator": 32, "bias": 32, "scale": 37, "residual": 8}
        super().__init__(
            {name: In(width * len(lanes)) for name, width in names.items()}
            | {"parameters": signature["parameters"], "o": Out(8 * len(lanes))}
        )

    def elaborate(self, platform):
        m = Module()
        for i, lane in enumerate(self._lanes):
            m.submodules[f"lane_{i}"] = lane
            scale = self.scale.word_select(i, 37)
            m.d.comb += [
                lane.accumulator.eq(self.accumulator.word_select(i, 32)),
                lane.bias.eq(self.bias.word_select(i, 32)),
                lane.left.eq(scale[31:].as_signed()),
                lane.multiplier.eq(delayed(m, scale[:31], Lane.MULTIPLIER_DELAY, f"late_{i}")),
                lane.right.eq(delayed(m, scale[31:], Lane.RIGHT_DELAY, f"right_{i}").as_signed()),
                lane.residual.eq(self.residual.word_select(i, 8)),
                lane.parameters.eq(self.parameters),
            ]
        m.d.comb += self.o.eq(Cat(lane.o for lane in self._lanes))
        return m


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_lane(residual, even):
    c = config(residual=residual, even=even)
    sizes: dict[str, Any] = {"latency": Lane.latency(c), "residual_delay": Lane.RESIDUAL_DELAY}
    lanes = Lanes([Lane(c) for _ in range(LANES)])
    flags = {"residual": int(residual), "even": int(even)}
    bench(lanes, "bench_lane", 4, shared=products(Lane.products(c)), **flags, **sizes)
