"""cocotb tests of the divider against Python's integers."""

import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option


@cocotb.test()
async def divisors(dut):
    g = random.Random(cocotb.RANDOM_SEED)
    await clocked(dut, start=0, divisor=0)
    bits, dividend = option("divisor_bits"), (1 << option("dividend_bits")) - 1
    least, most = 1 << (option("dividend_bits") - option("quotient_bits")), (1 << bits) - 1
    corners = [
        least,
        least + 1,
        most,
        most - 1,
        *(least << n for n in range(bits) if least << n <= most),
    ]
    previous = None
    for count in range(300):
        divisor = corners[count] if count < len(corners) else g.randint(least, most)
        if count % 3 == 0:
            divisor = max(least, divisor >> g.randrange(bits))
        if count % 7 == 3 and option("latency") > 2:
            # A division that another one cuts short.
            dut.start.value, dut.divisor.value = 1, most
            for _ in range(g.randint(1, option("latency") - 2)):
                await FallingEdge(dut.clk)
                dut.start.value = 0
        dut.start.value, dut.divisor.value = 1, divisor
        for cycle in range(option("latency") + g.choice([0, 0, 5])):
            await RisingEdge(dut.clk)
            if previous is not None and cycle < option("latency"):
                assert int(dut.o.value) == previous
            await FallingEdge(dut.clk)
            dut.start.value, dut.divisor.value = 0, g.getrandbits(bits)
        previous = dividend // divisor
        assert int(dut.o.value) == previous, f"{dividend} // {divisor}"
