"""cocotb tests of windows: every column sees the elements that its pattern names, against NumPy."""

import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option


def row(values, width: int) -> int:
    return sum((int(value) & ((1 << width) - 1)) << width * i for i, value in enumerate(values))


def cut(history: list[np.ndarray], pattern) -> dict[tuple[int, int], int]:
    """Operand of each column and product of ``pattern``; the newest segment comes last."""
    lines = history[-pattern.lines :]
    found = {}
    for column in range(option("cols")):
        pixel, place = divmod(column, pattern.channels * pattern.outputs)
        first = pattern.start + pixel * pattern.pixel_step + place // pattern.outputs
        for line in range(pattern.lines):
            taps = lines[line][first :: pattern.tap_step][: pattern.taps]
            for tap, value in enumerate(taps):
                product = line * pattern.taps + tap
                if product < option("depth"):
                    found[column, product] = int(value)
    return found


async def run(dut, busy: float):
    from tests.rtl.test_windows import PATTERNS

    g = random.Random(cocotb.RANDOM_SEED)
    numbers = np.random.default_rng(cocotb.RANDOM_SEED)
    bits, size, ring = option("element_bits"), option("segment"), option("ring")
    cols, depth = option("cols"), option("depth")
    await clocked(dut, write_enable=0, push=0, own=0, pattern=0, shared=0)
    memory = np.zeros((ring, size), dtype=np.int64)
    filled = [False] * ring
    history: list[np.ndarray] = []
    # What must be seen two cycles after a pattern was asked for.
    wanted: list[dict[tuple[int, int], int] | None] = [None, None]
    alike = [False, False]
    checks = 0
    for _ in range(800):
        write = g.randrange(ring)
        dut.write_enable.value = writes = int(g.random() < 0.6)
        segment = numbers.integers(0, 1 << bits, size)
        dut.write_address.value, dut.write_data.value = write, row(segment, bits)
        read = g.randrange(ring)
        push = filled[read] and g.random() < busy and not (writes and read == write)
        dut.push.value, dut.read_address.value = int(push), read
        if push:
            history.append(memory[read].copy())
        chosen = g.randrange(len(PATTERNS))
        dut.pattern.value = chosen
        own = g.random() < 0.8
        dut.own.value = int(own)
        alike.append(not own)
        shared = numbers.integers(0, 1 << bits, depth)
        dut.shared.value = row(shared, bits)
        known = own and len(history) >= PATTERNS[chosen].lines
        wanted.append(cut(history, PATTERNS[chosen]) if known else None)
        await RisingEdge(dut.clk)
        due = wanted.pop(0)
        if alike.pop(0):
            assert int(dut.operands.value) == row(np.tile(shared, cols), bits)
        if due is not None:
            seen = int(dut.operands.value)
            for (column, product), value in due.items():
                place = column * depth + product
                assert column < cols
                assert seen >> bits * place & ((1 << bits) - 1) == value, (column, product)
            checks += 1
        await FallingEdge(dut.clk)
        if writes:
            memory[write], filled[write] = segment, True
    assert checks > 500


@cocotb.test()
async def with_pauses(dut):
    await run(dut, 0.5)


@cocotb.test()
async def without_pauses(dut):
    await run(dut, 1.0)
