"""cocotb tests of the sequencer: order, latency and rate of its words."""

import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option, pauses, sink

WIDTHS = (5, 8)
"""Of the fields of a word."""

WIDTH = sum(WIDTHS)


def program(count: int) -> list[int]:
    """The words of the ROM, known to both sides of the bench."""
    generator = random.Random(count)
    return [generator.getrandbits(WIDTH) for _ in range(count)]


def counting(count: int) -> list[int]:
    """Words of which one field counts and the other one takes turns: what loops are found in."""
    generator = random.Random(count)
    words: list[int] = []
    while len(words) < count:
        first, step = generator.getrandbits(8), generator.getrandbits(8)
        turns = [generator.getrandbits(5) for _ in range(generator.randint(1, 4))]
        words += [turn | (first + i * step & 255) << 5 for i in range(9) for turn in turns]
    return words[:count]


def straight(count: int) -> list[int]:
    """Words of which one field counts: a loop of one step."""
    return [i % 256 << 5 for i in range(count)]


PROGRAMS = (program, counting, straight)


def known() -> list[int]:
    """The program of the ROM, or the first one of the RAM."""
    return PROGRAMS[option("program")](option("words"))


async def start(dut) -> None:
    dut.start.value = 1
    await FallingEdge(dut.clk)
    dut.start.value = 0


async def load(dut, words: list[int]) -> None:
    for index, word in enumerate(words):
        dut.write_enable.value = 1
        dut.write_address.value = index
        dut.write_data.value = word
        await FallingEdge(dut.clk)
    dut.write_enable.value = 0
    dut.count.value = len(words)


async def prepare(dut, words: list[int]) -> None:
    if option("ram"):
        await load(dut, words)


@cocotb.test()
async def a_word_of_two_cycles_is_followed_by_the_next(dut):
    words = known()
    await clocked(dut, start=0, o_ready=0, **({"write_enable": 0} if option("ram") else {}))
    await prepare(dut, words)
    for _ in range(2):
        assert dut.idle.value == 1
        dut.start.value = 1
        seen = []
        for cycle in range(option("latency") + 2 * len(words) + 4):
            dut.o_ready.value = (cycle - option("latency")) % 2
            await RisingEdge(dut.clk)
            if int(dut.o_valid.value):
                seen.append((cycle, int(dut.o_payload.value)))
            await FallingEdge(dut.clk)
            dut.start.value = 0
        twice = [word for word in words for _ in range(2)]
        assert seen == [(option("latency") + i, word) for i, word in enumerate(twice)]


@cocotb.test()
async def stalls_lose_and_repeat_nothing(dut):
    generator = random.Random(cocotb.RANDOM_SEED)
    words = known()
    await clocked(dut, start=0, o_ready=0, **({"write_enable": 0} if option("ram") else {}))
    seen: list[int] = []
    for probability in (0.1, 0.5, 0.9):
        if option("ram"):
            words = [generator.getrandbits(WIDTH) for _ in range(generator.randint(0, 20))]
        await prepare(dut, words)
        taking = cocotb.start_soon(sink(dut, "o", seen.append, pauses(generator, probability)))
        for _ in range(4):
            seen.clear()
            await start(dut)
            for _ in range(20 + 40 * len(words)):
                await FallingEdge(dut.clk)
                if int(dut.idle.value):
                    break
            assert dut.idle.value == 1
            assert seen == words
        taking.cancel()
