"""cocotb tests of the epilogue lane against both ways of rounding, in big integers."""

import random
from fractions import Fraction
from itertools import product

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.blocks import pack
from tests.rtl.stream import clocked, option

LANES = 32
TOP = (1 << 31) - 1
PARAMETERS = {
    "zero": 8,
    "low": 8,
    "high": 8,
    "even": 1,
    "add": 1,
    "zero_a": 8,
    "multiplier_a": 31,
    "shift_a": 5,
    "zero_b": 8,
    "multiplier_b": 31,
    "shift_b": 5,
    "multiplier_out": 31,
    "shift_out": 5,
    "zero_out": 8,
    "low_out": 8,
    "high_out": 8,
}


def wrapped(x: int) -> int:
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def divided(x: int, bits: int) -> int:
    """``x / 2**bits`` to the nearest integer, halves away from zero."""
    magnitude = (2 * abs(x) + (1 << bits)) // (2 << bits)
    return magnitude if x >= 0 else -magnitude


def requantised(x: int, multiplier: int, shift: int) -> int:
    x = wrapped(x << max(shift, 0))
    doubled = (2 * x * multiplier + (1 << 31)) // (1 << 32)
    return divided(doubled, max(-shift, 0))


def requantised_even(x: int, multiplier: int, shift: int) -> int:
    """To the nearest ``2**-12`` of the result's unit or finer, and then to the nearest integer;
    :func:`round` takes halves to even."""
    x = wrapped(x << max(shift, 0))
    fine = (x * multiplier + (1 << 18)) // (1 << 19)
    return round(Fraction(fine, 1 << (12 + max(-shift, 0))))


def clamped(x: int, low: int, high: int) -> int:
    return low if x < low else min(x, high)


def golden(p: dict[str, int], accumulator: int, bias: int, scale: tuple[int, int], other: int):
    finish = requantised_even if p["even"] else requantised
    y = finish(wrapped(accumulator + bias), *scale)
    y = clamped(wrapped(y) + p["zero"], p["low"], p["high"])
    if not p["add"]:
        return y
    a = requantised((y - p["zero_a"]) << 20, p["multiplier_a"], -p["shift_a"])
    b = requantised((other - p["zero_b"]) << 20, p["multiplier_b"], -p["shift_b"])
    total = finish(wrapped(a + b), p["multiplier_out"], -p["shift_out"])
    return clamped(total + p["zero_out"], p["low_out"], p["high_out"])


def row(values, width: int) -> int:
    return sum((value & ((1 << width) - 1)) << width * i for i, value in enumerate(values))


async def check(dut, parameters: dict[str, int], operands: list[tuple]) -> None:
    """Stream groups of operands through the lanes under one set of parameters."""
    dut.parameters.value = pack(PARAMETERS, parameters)
    latency, delay = option("latency"), option("residual_delay")
    groups = [operands[i : i + LANES] for i in range(0, len(operands), LANES)]
    for cycle in range(len(groups) + latency + 1):
        if cycle < len(groups):
            accumulator, bias, scale, _ = zip(*groups[cycle], strict=True)
            dut.accumulator.value = row(accumulator, 32)
            dut.bias.value = row(bias, 32)
            dut.scale.value = row([m | (s & 63) << 31 for m, s in scale], 37)
        if delay <= cycle < len(groups) + delay:
            dut.residual.value = row([g[3] for g in groups[cycle - delay]], 8)
        await RisingEdge(dut.clk)
        if 0 <= cycle - latency < len(groups):
            group = groups[cycle - latency]
            wanted = [golden(parameters, *values) for values in group]
            seen = int(dut.o.value)
            if seen & ((1 << 8 * len(group)) - 1) != row(wanted, 8):
                for i, (values, value) in enumerate(zip(group, wanted, strict=True)):
                    got = seen >> 8 * i & 255
                    assert got == value & 255, f"{parameters} {values}: {got}, not {value & 255}"
        await FallingEdge(dut.clk)


def parameters(generator: random.Random, add: int, even: int) -> dict[str, int]:
    def byte() -> int:
        return generator.choice([-128, 127, 0, generator.randint(-128, 127)])

    p = {name: byte() for name in ("zero", "zero_a", "zero_b", "zero_out")}
    p["low"], p["high"] = sorted((byte(), byte()))
    p["low_out"], p["high_out"] = sorted((byte(), byte()))
    for name in ("a", "b", "out"):
        p[f"multiplier_{name}"] = generator.choice([TOP, 1 << 30, generator.randint(1 << 30, TOP)])
    # As gen.graph has them: rescaled operands leave room for their sum.
    p |= {f"shift_{name}": generator.randint(0, 10) for name in ("a", "b")}
    p["shift_a" if generator.random() < 0.5 else "shift_b"] = 0
    p["shift_out"] = generator.randint(0, 31)
    if generator.random() < 0.5:
        p["low"], p["high"], p["low_out"], p["high_out"] = -128, 127, -128, 127
        p["shift_out"] = generator.randint(17, 23)
    return p | {"add": add, "even": even}


def modes() -> list[tuple[int, int]]:
    """``add`` and ``even`` as far as the lane has them."""
    return list(product(range(1 + option("residual")), range(1 + option("even"))))


@cocotb.test()
async def corners(dut):
    generator = random.Random(cocotb.RANDOM_SEED)
    await clocked(dut)
    numbers = [0, 1, -1, 127, -128, 1 << 15, -(1 << 15), (1 << 30) - 1, -(1 << 30), TOP, -TOP - 1]
    scales = [
        (m, s) for m in (0, 1, 1 << 30, (1 << 30) + 1, TOP) for s in (*range(-31, 1, 3), 1, 7, 31)
    ]
    operands = [
        (a, b, scale, generator.randint(-128, 127))
        for a, b, scale in product(numbers, (0, 1, TOP, -TOP - 1), scales)
    ]
    for add, even in modes():
        wide = {"zero": 0, "low": -128, "high": 127, "low_out": -128, "high_out": 127}
        await check(dut, parameters(generator, add, even) | wide, operands)


@cocotb.test()
async def halves(dut):
    generator = random.Random(cocotb.RANDOM_SEED)
    await clocked(dut)
    operands = []
    for right, whole, off in product(range(16), range(-130, 130, 7), (-1, 0, 1)):
        half = (2 * whole + 1) << right
        operands.append((half + off, 0, (1 << 30, -right), generator.randint(-128, 127)))
        operands.append((3 * half + off, 0, (-(-(1 << 32) // 3), -right - 1), 0))
    for add, even in modes():
        wide = {"zero": 0, "low": -128, "high": 127, "low_out": -128, "high_out": 127}
        await check(dut, parameters(generator, add, even) | wide, operands)


@cocotb.test()
async def every_sum_of_bytes(dut):
    if not option("residual"):
        return
    generator = random.Random(cocotb.RANDOM_SEED)
    await clocked(dut)
    # With this scale the first half passes its accumulator on.
    operands = [(a, 0, (1 << 30, 1), b) for a in range(-128, 128) for b in range(-128, 128)]
    for even in range(1 + option("even")):
        p = parameters(generator, 1, even)
        await check(dut, p | {"zero": 0, "low": -128, "high": 127, "shift_out": 19}, operands)


@cocotb.test()
async def random_operands(dut):
    generator = random.Random(cocotb.RANDOM_SEED)
    await clocked(dut)
    for _, (add, even) in product(range(40 // len(modes())), modes()):
        operands = []
        for _ in range(2500 if option("residual") else 1000):
            bits = generator.randint(1, 31)
            accumulator = generator.randint(-(1 << bits), (1 << bits) - 1)
            bias = generator.randint(-(1 << 16), 1 << 16)
            scale = (generator.randint(1 << 30, TOP), generator.randint(-31, max(-31, 24 - bits)))
            if generator.random() < 0.7:
                scale = (scale[0], min(0, 7 - bits))
            operands.append((accumulator, bias, scale, generator.randint(-128, 127)))
        await check(dut, parameters(generator, add, even), operands)
