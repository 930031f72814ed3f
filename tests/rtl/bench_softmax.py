"""cocotb tests of the softmax unit against the golden semantics of whole rows."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from gen.graph import Graph, Softmax, Tensor
from rtl.softmax import LOOKUP
from sim.golden import run_task
from tests.rtl.blocks import pack, unpack
from tests.rtl.stream import clocked, option

SCALES = [(1 << 30, 24, -31), (1717986918, 22, -124), (1073741824, 19, -255), (2**31 - 1, 8, -255)]
"""Multiplier, left shift and least difference of each exponential table."""


def golden(row: list[int], scale: tuple[int, int, int]) -> list[int]:
    tensors = {name: Tensor(name, (1, len(row)), 1 / 256, -128) for name in "xy"}
    task = Softmax("softmax", ("x",), "y", *scale)
    graph = Graph("row", tensors, (task,), ("x",), ("y",))
    return run_task(graph, task, [np.array([row], np.int8)])[0].tolist()


@cocotb.test()
async def rows(dut):
    g = random.Random(cocotb.RANDOM_SEED)
    lanes, layout = option("lanes"), json.loads(os.environ["LAYOUT"])
    tables = json.loads(os.environ["TABLES"])
    base, per_group = option("latency_0"), option("latency_1") - option("latency_0")
    await clocked(dut, i_valid=0, exponent=0, groups=0)
    table = tables[0]
    outputs: list[dict[str, int]] = []
    cycle, done = 0, None
    exponents = [0] * (LOOKUP - 1)

    async def tick() -> None:
        nonlocal cycle, done
        await RisingEdge(dut.clk)
        if int(dut.o_valid.value):
            outputs.append(unpack(layout, int(dut.o_payload.value)))
        if int(dut.done.value):
            assert done is None
            done = cycle
        exponents.append(table[int(dut.difference.value)])
        await FallingEdge(dut.clk)
        dut.exponent.value = exponents.pop(0)
        cycle += 1

    for count in range(60):
        scale, table = g.choice(list(zip(SCALES, tables, strict=True)))
        groups = g.randint(1, option("groups"))
        counts = [lanes] * (groups - 1) + [g.randint(1, lanes)]
        low = g.choice([-128, -40, 100])
        high = g.choice([low, min(127, low + 20), 127]) if count else low
        row = [g.randint(low, high) for _ in range(sum(counts))]
        dut.groups.value = groups - 1
        sent, at = [], 0
        outputs.clear()
        done, last = None, 0
        for size in counts:
            while g.random() < 0.3:
                await tick()
            data = g.getrandbits(8 * lanes)
            for i in range(size):
                data = data & ~(255 << 8 * i) | (row[at + i] & 255) << 8 * i
            at += size
            group = {"address": g.getrandbits(layout["address"])}
            sent.append(group | {"count": size})
            dut.i_valid.value, dut.i_payload.value = (
                1,
                pack(layout, group | {"count": size, "data": data}),
            )
            last = cycle
            await tick()
            dut.i_valid.value = 0
        for _ in range(1000):
            if done is not None:
                break
            await tick()
        assert done is not None, "the row never ends"
        assert done - last == base + per_group * groups
        assert [{name: o[name] for name in sent[0]} for o in outputs] == sent
        seen = [o["data"] >> 8 * i & 255 for o in outputs for i in range(o["count"])]
        assert seen == [value & 255 for value in golden(row, scale)], f"{row} at {scale}"
