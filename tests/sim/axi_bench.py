"""cocotb tests of the memory model against the AXI master of cocotbext-axi."""

import logging
import random
from collections.abc import Iterator

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiMaster


def pauses(seed: int) -> Iterator[bool]:
    generator = random.Random(seed)
    while True:
        yield generator.random() < 0.5


async def master(dut, seed: int) -> AxiMaster:
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    axi = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    dut.seed.value = seed
    if seed:
        channels = [axi.write_if.aw_channel, axi.write_if.w_channel, axi.write_if.b_channel]
        channels += [axi.read_if.ar_channel, axi.read_if.r_channel]
        for number, channel in enumerate(channels):
            channel.set_pause_generator(pauses(seed + number))
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    return axi


async def exercise(dut, seed: int) -> None:
    axi = await master(dut, seed)
    generator = random.Random(seed)
    image = bytearray(65536)
    for start in range(0, len(image), 4096):
        await axi.write(start, bytes(4096), awid=0)
    for _ in range(20):
        address = generator.randrange(len(image) - 3000) & ~3
        data = generator.randbytes(generator.randrange(1, 3000))
        image[address : address + len(data)] = data
        await axi.write(address, data, awid=0)
        start = generator.randrange(len(image) - 3000) & ~3
        length = generator.randrange(4, 3000) & ~3
        answer = await axi.read(start, length, arid=0)
        assert bytes(answer.data) == bytes(image[start : start + length])


@cocotb.test()
async def without_stalls(dut):
    await exercise(dut, 0)


@cocotb.test()
async def with_stalls(dut):
    await exercise(dut, 1)


@cocotb.test()
async def latency(dut):
    axi = await master(dut, 0)
    reading = cocotb.start_soon(axi.read(0, 64, arid=0))
    cycles = {}
    for cycle in range(200):
        await RisingEdge(dut.clk)
        if dut.s_axi_arvalid.value and dut.s_axi_arready.value:
            cycles["ar"] = cycle
        if dut.s_axi_rvalid.value:
            cycles.setdefault("r", cycle)
    await reading
    assert cycles["r"] - cycles["ar"] == 64
    assert dut.read_beats.value == 16
