"""cocotb tests of the pooling unit against NumPy."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.blocks import pack, unpack
from tests.rtl.stream import clocked, option


def bits(values: np.ndarray, width: int) -> int:
    return sum((int(value) & ((1 << width) - 1)) << width * i for i, value in enumerate(values))


@cocotb.test()
async def images(dut):
    g = random.Random(cocotb.RANDOM_SEED)
    lanes, width, latency = option("lanes"), option("element_bits"), option("latency")
    layout = json.loads(os.environ["LAYOUT"])
    top = (1 << (width - 1)) - 1
    extremes = [-top - 1, -top, -1, 0, 1, top - 1, top]
    most = option("strips")
    await clocked(dut, i_valid=0, on=0, row=0)
    cycle = 0
    seen: list[tuple[int, dict[str, int]]] = []

    async def tick() -> None:
        nonlocal cycle
        await RisingEdge(dut.clk)
        if int(dut.o_valid.value):
            seen.append((cycle, unpack(layout, int(dut.o_payload.value))))
        await FallingEdge(dut.clk)
        cycle += 1

    for count in range(80):
        on = count % 3 != 0
        rows, strips = 2 * g.randint(1, 3), g.randint(1, most)
        columns = lanes * (strips - 1) + 2 * g.randint(1, lanes // 2)
        narrow = g.random() < 0.3
        image = np.array(
            [
                [g.choice(extremes) if narrow else g.randint(-top - 1, top) for _ in range(columns)]
                for _ in range(rows)
            ]
        )
        pooled = image.reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3))
        dut.on.value = int(on)
        # A whole row before the next, or the two rows of a strip one after the other.
        whole = g.random() < 0.5
        dut.row.value = strips - 1 if whole else 0
        calm = g.choice([0.0, 0.5, 0.9])
        wanted = []
        for y in range(0, rows, 2):
            places = [(row, x) for row in (y, y + 1) for x in range(0, columns, lanes)]
            for row, x in places if whole else sorted(places, key=lambda at: at[::-1]):
                while g.random() < calm:
                    dut.i_payload.value = g.getrandbits(sum(layout.values()))
                    await tick()
                values = image[row, x : x + lanes]
                group = {
                    "address": g.getrandbits(layout["address"]),
                    "count": len(values) * width // 8,
                    # Beyond the count there may be anything.
                    "data": g.getrandbits(lanes * width) << len(values) * width
                    | bits(values, width),
                }
                dut.i_valid.value, dut.i_payload.value = 1, pack(layout, group)
                out = pooled[y // 2, x // 2 : (x + lanes) // 2] if on else values
                if row > y or not on:
                    result = group | {"count": len(out) * width // 8, "data": bits(out, width)}
                    wanted.append((cycle + latency, result))
                await tick()
                dut.i_valid.value = 0
        for _ in range(latency):
            await tick()
        for _, group in seen:
            group["data"] &= (1 << 8 * group["count"]) - 1
        assert seen == wanted
        seen.clear()
        # Rows of another length begin after a cycle without.
        dut.on.value = 0
        await tick()
