"""cocotb tests of a block between streams; ``VECTORS`` holds its inputs ``x`` and outputs ``y``."""

import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from tests.rtl.stream import Monitor, clocked, option, pauses, sink, source


def packed(values, width: int) -> int:
    return sum((int(v) & ((1 << width) - 1)) << width * k for k, v in enumerate(values))


async def run(dut, count: int, pause_in: float, pause_out: float) -> int:
    """Sends vectors and compares what comes; cycles that it took."""
    g = random.Random(cocotb.RANDOM_SEED)
    inside, outside = option("input_bits"), option("output_bits")
    with np.load(os.environ["VECTORS"]) as vectors:
        x, y = vectors["x"][:count], vectors["y"][:count]
    wanted = [packed(one, outside) for one in y]
    got: list[int] = []
    await clocked(dut, i_valid=0, o_ready=0)
    monitor = Monitor(dut)
    cocotb.start_soon(sink(dut, "o", got.append, pauses(g, pause_out)))
    await source(dut, "i", [packed(one, inside) for one in x], pauses(g, pause_in))
    for _ in range(20 * count):
        if len(got) == count:
            break
        await FallingEdge(dut.clk)
    cycles = monitor.cycle
    for _ in range(50):
        await FallingEdge(dut.clk)
    assert got == wanted
    return cycles


@cocotb.test()
async def random_pauses(dut):
    await run(dut, 400, 0.5, 0.5)


@cocotb.test()
async def slow_taker(dut):
    await run(dut, 200, 0.0, 0.9)


@cocotb.test()
async def a_vector_a_cycle(dut):
    count = 300
    cycles = await run(dut, count, 0.0, 0.0)
    assert cycles == count + option("latency")
