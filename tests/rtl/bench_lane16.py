"""cocotb tests of the int16 lane against NumPy."""

from itertools import product

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.blocks import pack
from tests.rtl.stream import clocked, option

LANES = 16
TOP = (1 << 15) - 1
PARAMETERS = {
    "shift": 6,
    "low": 16,
    "high": 16,
    "add": 1,
    "multiply": 1,
    "shift_out": 6,
    "low_out": 16,
    "high_out": 16,
}
WIDE = {"low": -TOP - 1, "high": TOP, "low_out": -TOP - 1, "high_out": TOP}


def rounded(x: np.ndarray, bits: int) -> np.ndarray:
    """``x / 2**bits`` to the nearest integer, halves up."""
    quotient, rest = np.divmod(x, 1 << bits)
    return quotient + (2 * rest >= 1 << bits)


def golden(p: dict[str, int], accumulator, bias, residual) -> np.ndarray:
    # Not np.clip alone: bounds may be the wrong way round, and then the lower one wins.
    def clamped(x, low, high):
        return np.where(x < low, low, np.minimum(x, high))

    v = clamped(rounded(accumulator + bias, p["shift"]), p["low"], p["high"])
    if p["add"]:
        return clamped(v + residual, p["low_out"], p["high_out"])
    if p["multiply"]:
        return clamped(rounded(v * residual, p["shift_out"]), p["low_out"], p["high_out"])
    return v


def row(values: np.ndarray, width: int) -> int:
    return sum((int(value) & ((1 << width) - 1)) << width * i for i, value in enumerate(values))


def modes() -> list[dict[str, int]]:
    """The combinations that the lane is built with."""
    built = [name for name in ("add", "multiply") if option(name)]
    return [{"add": 0, "multiply": 0} | ({name: 1} if name else {}) for name in ("", *built)]


async def check(dut, p: dict[str, int], operands: np.ndarray) -> None:
    """Stream groups of operands (accumulator, bias, residual) through the lanes, one a cycle."""
    dut.parameters.value = pack(PARAMETERS, p)
    latency, delay = option("latency"), option("residual_delay")
    groups = operands[:, : operands.shape[1] // LANES * LANES].reshape(3, -1, LANES)
    wanted = golden(p, *groups)
    count = groups.shape[1]
    for cycle in range(count + latency + 1):
        if cycle < count:
            dut.accumulator.value = row(groups[0, cycle], option("accumulator_bits"))
            dut.bias.value = row(groups[1, cycle], option("bias_bits"))
        if delay <= cycle < count + delay:
            dut.residual.value = row(groups[2, cycle - delay], 16)
        await RisingEdge(dut.clk)
        at = cycle - latency
        if 0 <= at < count:
            seen = int(dut.o.value).to_bytes(2 * LANES, "little")
            np.testing.assert_array_equal(
                np.frombuffer(seen, np.int16), wanted[at], f"{p} {groups[:, at].tolist()}"
            )
        await FallingEdge(dut.clk)


def limits(bits: int) -> list[int]:
    """Corners of a two's complement number."""
    top = (1 << (bits - 1)) - 1
    near = [s * (1 << n) + d for n in (14, 15, 16, 17) for s in (1, -1) for d in (-1, 0, 1)]
    return [
        n for n in [0, 1, -1, top, -top - 1, top // 2, -top // 2, *near] if -top - 1 <= n <= top
    ]


@cocotb.test()
async def corners(dut):
    await clocked(dut)
    numbers, biases = limits(option("accumulator_bits")), limits(option("bias_bits"))
    operands = np.array([*product(numbers, biases, limits(16))], np.int64).T
    for mode in modes():
        for shift in (0, 1, 2, 7, 8, 15, 16, 23, 31, 32, 46, 47):
            g = np.random.default_rng(cocotb.RANDOM_SEED + shift)
            some = operands[:, g.permutation(operands.shape[1])[: 60 * LANES]]
            p = mode | {"shift": shift, "shift_out": int(g.integers(33))} | WIDE
            await check(dut, p, some)


@cocotb.test()
async def halves(dut):
    """Accumulators in and about the middle between two results."""
    g = np.random.default_rng(cocotb.RANDOM_SEED)
    await clocked(dut)
    for shift in range(48):
        room = min(16, option("accumulator_bits") - shift)
        if room < 2:
            continue
        whole = g.integers(-(1 << (room - 2)), 1 << (room - 2), 8 * LANES)
        x = whole * (1 << shift) + (1 << shift >> 1) + g.integers(-1, 2, 8 * LANES)
        operands = np.stack([x, np.zeros_like(x), np.zeros_like(x)])
        await check(dut, modes()[0] | WIDE | {"shift": shift, "shift_out": 0}, operands)


@cocotb.test()
async def random_operands(dut):
    g = np.random.default_rng(cocotb.RANDOM_SEED)
    await clocked(dut)
    for count in range(90):
        bits = int(g.integers(1, option("accumulator_bits")))
        size = 40 * LANES
        accumulator = g.integers(-(1 << bits), 1 << bits, size, endpoint=False)
        most = min(bits, option("bias_bits") - 1)
        bias = g.integers(-(1 << most), 1 << most, size)
        residual = g.integers(-TOP - 1, TOP + 1, size) >> g.integers(16)
        p = modes()[count % len(modes())] | WIDE
        p["shift"] = int(g.integers(48)) if count % 4 == 0 else max(0, min(47, bits - 14))
        p["shift_out"] = int(g.integers(33)) if count % 4 == 1 else int(g.integers(10, 17))
        if count % 2:
            p |= {name: int(g.integers(-TOP - 1, TOP + 1)) for name in WIDE}
        if count % 4 == 3:
            p["low"], p["high"] = sorted((p["low"], p["high"]))
        await check(dut, p, np.stack([accumulator, bias, residual]))
