"""cocotb tests of the interpolated functions against NumPy."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option

EVERY = np.arange(-(1 << 15), 1 << 15)


def golden(table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Exact in float64: at most 24 bits; halves go up."""
    exact = np.interp(x, np.arange(-(1 << 15), (1 << 15) + 1, 256), table)
    return np.floor(exact + 0.5).astype(np.int64)


async def check(dut, x: np.ndarray, wanted: np.ndarray) -> None:
    latency = option("latency")
    seen = []
    for cycle in range(len(x) + latency):
        dut.i.value = int(x[min(cycle, len(x) - 1)]) & 0xFFFF
        await RisingEdge(dut.clk)
        if cycle >= latency:
            seen.append(int(dut.o.value))
        await FallingEdge(dut.clk)
    np.testing.assert_array_equal(np.array(seen, np.uint16).view(np.int16), wanted)


async def load(dut, address: int, words: list[int]) -> None:
    for i, word in enumerate(words):
        dut.write_enable.value, dut.write_address.value, dut.write_data.value = 1, address + i, word
        await FallingEdge(dut.clk)
    dut.write_enable.value = 0


@cocotb.test()
async def functions(dut):
    g = random.Random(cocotb.RANDOM_SEED)
    tables = [np.array(table) for table in json.loads(os.environ["TABLES"])]
    await clocked(dut, on=1, select=0, write_enable=0)
    order = list(range(len(tables)))
    if option("writable"):
        # Another order than that of the first contents.
        g.shuffle(order)
        words = json.loads(os.environ["WORDS"])
        for function, source in enumerate(order):
            await load(dut, 256 * function, words[source])
    for function, source in enumerate(order):
        dut.select.value = function
        for step in (1, -1) if source == 0 else (7, 4099):
            x = EVERY[::step]
            await check(dut, x, golden(tables[source], x))
        shuffled = np.array(g.sample(list(EVERY), 5000))
        await check(dut, shuffled, golden(tables[source], shuffled))
    dut.on.value = 0
    await check(dut, EVERY[::3], EVERY[::3])
