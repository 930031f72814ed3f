"""cocotb tests of the register file and the loader behind an AXI4-Lite master."""

import logging
import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from tests.rtl.stream import clocked, option, pauses

VERSION, CONTROL, STATUS, CYCLES, STALLS, REGION = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x20
SELECT, INDEX, DATA = 0x40, 0x44, 0x48
WIDTHS = {"narrow": 7, "word": 32, "wide": 70}
DONE, BUSY, ERROR = 1, 2, 4


async def master(dut, seed: int) -> AxiLiteMaster:
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
    axi: Any = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "axi"), dut.clk, dut.rst)
    g = random.Random(seed)
    channels = [axi.write_if.aw_channel, axi.write_if.w_channel, axi.write_if.b_channel]
    channels += [axi.read_if.ar_channel, axi.read_if.r_channel]
    if seed:
        for channel in channels:
            channel.set_pause_generator(pauses(g))
    await clocked(dut, finished=0, stalled=0, failed=0)
    return axi


async def watch(dut, seen: dict[str, list]) -> None:
    """Notes starts and the words that the loader writes."""
    while True:
        await RisingEdge(dut.clk)
        if int(dut.start.value):
            seen["start"].append(int(dut.cycle.value))
        for name in WIDTHS:
            if int(getattr(dut, f"enable_{name}").value):
                seen[name].append((int(dut.index.value), int(dut.word.value)))
        await FallingEdge(dut.clk)


def watched(dut) -> dict[str, list]:
    seen: dict[str, list] = {name: [] for name in ("start", *WIDTHS)}
    cocotb.start_soon(watch(dut, seen))
    return seen


async def regions(dut, seed: int) -> None:
    axi, g = await master(dut, seed), random.Random(seed)
    assert await axi.read_dword(VERSION) == option("version")
    values = [0] * 4
    for _ in range(40):
        region = g.randrange(4)
        values[region] = g.getrandbits(32)
        await axi.write_dword(REGION + 4 * region, values[region])
        other = g.randrange(4)
        assert await axi.read_dword(REGION + 4 * other) == values[other]
    packed = int(dut.regions.value)
    assert [packed >> 32 * i & 0xFFFFFFFF for i in range(4)] == values
    assert await axi.read_dword(0x100) == 0


async def runs(dut, seed: int) -> None:
    axi, g = await master(dut, seed), random.Random(seed)
    seen = watched(dut)
    for count in range(6):
        failing = count % 2
        await axi.write_dword(CONTROL, 2)
        assert len(seen["start"]) == count
        await axi.write_dword(CONTROL, 1)
        assert len(seen["start"]) == count + 1
        assert await axi.read_dword(STATUS) == BUSY
        await axi.write_dword(CONTROL, 1)
        assert len(seen["start"]) == count + 1
        stalls = g.randint(0, 30)
        await FallingEdge(dut.clk)
        for cycle in range(stalls):
            dut.stalled.value = 1
            dut.failed.value = int(failing and cycle == 0)
            await FallingEdge(dut.clk)
        failing = failing and stalls > 0
        dut.stalled.value = dut.failed.value = 0
        await FallingEdge(dut.clk)
        dut.finished.value = 1
        end = int(dut.cycle.value)
        await FallingEdge(dut.clk)
        dut.finished.value = 0
        assert await axi.read_dword(STATUS) == DONE + ERROR * failing
        # From the accepted write, in the cycle before `start`, to the one that finishes.
        assert await axi.read_dword(CYCLES) == end - seen["start"][-1] + 2
        assert await axi.read_dword(STALLS) == stalls


async def loads(dut, seed: int) -> None:
    axi, g = await master(dut, seed), random.Random(seed)
    seen = watched(dut)
    wanted: dict[str, list] = {name: [] for name in WIDTHS}
    for _ in range(30):
        place = g.randrange(len(WIDTHS))
        name, width = list(WIDTHS.items())[place]
        index = g.randrange(1000)
        await axi.write_dword(SELECT, place)
        await axi.write_dword(INDEX, index)
        for i in range(g.randint(1, 3)):
            word = g.getrandbits(width)
            for part in range(0, width, 32):
                await axi.write_dword(DATA, word >> part & 0xFFFFFFFF)
            wanted[name].append((index + i, word))
    for _ in range(3):
        await FallingEdge(dut.clk)
    for name, width in WIDTHS.items():
        mask = (1 << width) - 1
        assert [(index, word & mask) for index, word in seen[name]] == wanted[name]


@cocotb.test()
@cocotb.parametrize(part=[regions, runs, loads], paused=[False, True])
async def behind_a_master(dut, part, paused):
    await part(dut, cocotb.RANDOM_SEED if paused else 0)
