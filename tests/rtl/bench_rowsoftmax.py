"""cocotb tests of the int16 softmax unit against the golden semantics of whole rows."""

import json
import os

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from gen.graph import Graph, RowSoftmax, Tensor
from sim.golden import run_task
from tests.rtl.blocks import pack, unpack
from tests.rtl.stream import clocked, option

LOW, HIGH = -(1 << 15), (1 << 15) - 1


def golden(row: np.ndarray, bits: int) -> list[int]:
    scales = {"x": 2.0**-bits, "y": 2.0**-15}
    tensors = {n: Tensor(n, row.shape, scale, 0, bits=16) for n, scale in scales.items()}
    task = RowSoftmax("softmax", ("x",), "y", bits)
    graph = Graph("row", tensors, (task,), ("x",), ("y",))
    return run_task(graph, task, [row.astype(np.int16)]).tolist()


def some_row(g: np.random.Generator, length: int, bits: int) -> np.ndarray:
    """Noise of any spread, two values, all equal, a wide range."""
    kind = g.integers(4)
    if kind == 0:
        row = g.integers(-40, 41) * (1 << bits) + g.normal(0, g.uniform(0, 6) * (1 << bits), length)
    elif kind == 1:
        row = np.where(g.random(length) < 0.3, HIGH, HIGH - g.uniform(0, 24) * (1 << bits))
    elif kind == 2:
        row = np.full(length, g.choice([LOW, HIGH, g.integers(LOW, HIGH + 1)]))
    else:
        row = g.choice([LOW, -1, 0, HIGH, *g.integers(LOW, HIGH + 1, 9)], length)
    return np.clip(row, LOW, HIGH).astype(np.int64)


class Rows:
    """Sends rows, no more of them under way than allowed, and checks values and cycles."""

    def __init__(self, dut, g: np.random.Generator):
        self.dut, self.g = dut, g
        self.layout = json.loads(os.environ["LAYOUT"])
        self.cycle = self.started = 0
        self.done: list[int] = []
        self.outputs: list[dict[str, int]] = []

    async def tick(self) -> None:
        await RisingEdge(self.dut.clk)
        if int(self.dut.o_valid.value):
            self.outputs.append(unpack(self.layout, int(self.dut.o_payload.value)))
        if int(self.dut.done.value):
            assert int(self.dut.o_valid.value)
            self.done.append(self.cycle)
        await FallingEdge(self.dut.clk)
        self.cycle += 1

    async def send(self, row: np.ndarray, stall: float) -> tuple[int, list[dict[str, int]]]:
        """The cycle of the last group, and the groups without their data."""
        lanes, dut = option("lanes"), self.dut
        while self.started - len(self.done) == option("rows"):
            await self.tick()
        self.started += 1
        sent = []
        for at in range(0, len(row), lanes):
            while self.g.random() < stall:
                dut.i_payload.value = int(self.g.integers(1 << 16))
                await self.tick()
            part = row[at : at + lanes]
            noise = int(self.g.integers(1 << 16)) << 16 * len(part)
            data = noise | sum((int(v) & 0xFFFF) << 16 * i for i, v in enumerate(part))
            address = int(self.g.integers(1 << self.layout["address"]))
            sent.append({"address": address, "count": 2 * len(part)})
            dut.i_valid.value = 1
            dut.i_payload.value = pack(self.layout, sent[-1] | {"data": data})
            last = self.cycle
            await self.tick()
            dut.i_valid.value = 0
        return last, sent

    async def burst(self, count: int, groups: int, bits: int, stall: float) -> None:
        """Rows of equal length, one after the other; returns when the unit is empty."""
        lanes = option("lanes")
        self.dut.groups.value, self.dut.fraction_bits.value = groups - 1, bits
        self.started = 0
        self.done.clear()
        self.outputs.clear()
        latency = option("latency_0") + groups * (option("latency_1") - option("latency_0"))
        interval = option("interval_0") + groups * (option("interval_1") - option("interval_0"))
        rows, due, wanted = [], [], []
        for _ in range(count):
            length = lanes * (groups - 1) + int(self.g.integers(1, lanes + 1))
            rows.append(some_row(self.g, length, bits))
            last, sent = await self.send(rows[-1], stall)
            due.append(max(last + latency, due[-1] + interval if due else 0))
            wanted += sent
        while len(self.done) < count:
            assert self.cycle <= due[-1], "the last row never ends"
            await self.tick()
        assert self.done == due
        assert [{name: o[name] for name in ("address", "count")} for o in self.outputs] == wanted
        for row in rows:
            groups_out = [self.outputs.pop(0) for _ in range(groups)]
            seen = [
                o["data"] >> 16 * i & 0xFFFF for o in groups_out for i in range(o["count"] // 2)
            ]
            assert seen == golden(row, bits), f"{row.tolist()} with {bits} fraction bits"


@cocotb.test()
async def one_at_a_time(dut):
    g = np.random.default_rng(cocotb.RANDOM_SEED)
    await clocked(dut, i_valid=0, groups=0, fraction_bits=0)
    rows = Rows(dut, g)
    for count in range(64):
        await rows.burst(1, int(g.integers(1, option("groups") + 1)), count % 16, 0.3)


@cocotb.test()
async def one_after_the_other(dut):
    g = np.random.default_rng(cocotb.RANDOM_SEED)
    await clocked(dut, i_valid=0, groups=0, fraction_bits=0)
    rows = Rows(dut, g)
    for count in range(24):
        groups = option("groups") if count % 2 else int(g.integers(1, option("groups") + 1))
        await rows.burst(int(g.integers(2, 9)), groups, int(g.integers(16)), count % 3 * 0.4)
