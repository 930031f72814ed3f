"""cocotb tests of the exponential against float64, and of the stages that its values take."""

import math

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option

LOW, HIGH = -(1 << 15), (1 << 15) - 1
ERROR = 1.8e-5
"""As a share of the exponential: an exponent cut to 16 bits, chords, a mantissa cut to 20 bits."""


@cocotb.test()
async def differences(dut):
    g = np.random.default_rng(cocotb.RANDOM_SEED)
    await clocked(dut, i=0, largest=0, fraction_bits=0)
    for bits in range(16):
        near = np.arange(600)
        far = g.integers(0, 1 << 16, 600)
        middle = np.unique(np.minimum(g.uniform(0, 22, 2000) * (1 << bits), HIGH - LOW).astype(int))
        below = np.concatenate([near, far, middle, [HIGH - LOW]])
        largest = LOW + below + (g.random(len(below)) * (HIGH - LOW - below)).astype(int)
        dut.fraction_bits.value = bits
        for cycle in range(len(below) + option("latency")):
            at = min(cycle, len(below) - 1)
            dut.largest.value = int(largest[at]) & 0xFFFF
            dut.i.value = int(largest[at] - below[at]) & 0xFFFF
            await RisingEdge(dut.clk)
            if cycle >= option("latency"):
                distance = int(below[cycle - option("latency")])
                mantissa, octaves = int(dut.mantissa.value), int(dut.octaves.value)
                exact = math.exp(-distance / (1 << bits))
                seen = mantissa / (1 << option("fraction")) / (1 << octaves)
                # The constant log2(e) is rounded too, which shows where the exponent is large.
                allowed = (ERROR + 5e-7 * distance / (1 << bits)) * exact
                assert abs(seen - exact) <= allowed or (octaves == 31 and exact < 2**-30), (
                    f"exp(-{distance} / {1 << bits}) = {exact}, not {seen}"
                )
                assert distance or (mantissa, octaves) == (1 << option("fraction"), 0)
            await FallingEdge(dut.clk)
