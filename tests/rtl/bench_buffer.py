"""cocotb tests of a buffer against a byte array."""

import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option


async def exercise(dut, operations) -> None:
    """Apply (write address, count, data, read address) per cycle; check reads when they are due."""
    size, latency = option("bytes"), option("latency")
    word = option("word_bytes")
    await clocked(dut, write_enable=0)
    image = [0] * size
    for at in range(0, size, word):
        dut.write_enable.value, dut.write_end.value = 1, word
        dut.write_address.value, dut.write_data.value = at, 0
        await FallingEdge(dut.clk)
    due: dict[int, tuple[int, int]] = {}
    # Writes on their way to the memory.
    earlier: list = [(None, 0, 0)] * (option("write_latency") - 1)
    for _ in earlier:
        await FallingEdge(dut.clk)
    for cycle, (write, count, data, read) in enumerate(operations):
        dut.write_enable.value = int(write is not None)
        dut.write_address.value, dut.write_end.value = write or 0, (write or 0) % word + count
        dut.write_data.value = data
        first = read - read % word
        bytes_read = [image[(first + i) % size] for i in range(2 * word)]
        arrives, length, value = earlier.pop(0)
        earlier.append((write, count, data))
        touched = (
            {(arrives + i) // word % (size // word) for i in range(length)}
            if arrives is not None
            else set()
        )
        window = {first // word, (first // word + 1) % (size // word)}
        if not touched & window:
            due[cycle + latency] = (read, int.from_bytes(bytes_read, "little"))
        dut.read_address.value = read
        if arrives is not None:
            for i in range(length):
                image[(arrives + i) % size] = value >> 8 * i & 255
        await RisingEdge(dut.clk)
        if cycle in due:
            read, wanted = due.pop(cycle)
            assert int(dut.read_data.value) == wanted, f"cycle {cycle}, address {read}"
        await FallingEdge(dut.clk)


@cocotb.test()
async def every_offset_and_count(dut):
    generator = random.Random(cocotb.RANDOM_SEED)
    word, size = option("word_bytes"), option("bytes")
    operations = []
    for offset in range(2 * word):
        for count in range(word + 1):
            at = generator.randrange(max(1, size // (2 * word) - 2)) * 2 * word + offset
            operations.append((at, count, generator.getrandbits(8 * word), size - 2 * word))
            operations += [(None, 0, 0, (at - at % word + k * word) % size) for k in (0, 1)]
    await exercise(dut, operations)


@cocotb.test()
async def random_traffic(dut):
    generator = random.Random(cocotb.RANDOM_SEED + 1)
    word, size = option("word_bytes"), option("bytes")
    operations = []
    for _ in range(3000):
        write = generator.choice([None, generator.randrange(size)])
        count = generator.randrange(word + 1)
        operations.append(
            (write, count, generator.getrandbits(8 * word), generator.randrange(size))
        )
    await exercise(dut, operations)


@cocotb.test()
async def a_write_is_seen_as_late_as_said_and_latency_is_exact(dut):
    word, latency = option("word_bytes"), option("latency")
    at = 4 * word % option("bytes")
    await clocked(dut, write_enable=1, write_address=0, write_end=word, write_data=0)
    dut.read_address.value = at
    await FallingEdge(dut.clk)
    for _ in range(latency + 1):
        dut.write_address.value, dut.write_data.value = at, 0
        await FallingEdge(dut.clk)
    dut.write_address.value, dut.write_data.value = 0, 0xA5
    await FallingEdge(dut.clk)
    dut.write_enable.value = 0
    for _ in range(option("write_latency") - 1):
        await FallingEdge(dut.clk)
    dut.read_address.value = 0
    seen = []
    for _ in range(latency + 1):
        await RisingEdge(dut.clk)
        seen.append(int(dut.read_data.value) & 255)
        await FallingEdge(dut.clk)
    assert seen == [0] * latency + [0xA5]
