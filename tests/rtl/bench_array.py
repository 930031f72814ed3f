"""cocotb tests of the systolic array, ring and weight memories included, against NumPy."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.blocks import pack
from tests.rtl.stream import clocked, option


def row(values, width: int) -> int:
    return sum((int(value) & ((1 << width) - 1)) << width * i for i, value in enumerate(values))


def signed(bits: int, width: int, count: int) -> list[int]:
    values = [bits >> width * i & ((1 << width) - 1) for i in range(count)]
    return [value - (1 << width) if value >> (width - 1) else value for value in values]


class Sizes:
    """The geometry that the pytest side chose."""

    def __init__(self) -> None:
        self.rows, self.cols, self.depth = option("rows"), option("cols"), option("depth")
        self.lanes, self.weight_bits = option("lanes"), option("weight_bits")
        self.groups = self.cols // self.lanes
        self.patch_words, self.weight_words = option("patch_words"), option("weight_words")


async def fill(dut, sizes: Sizes, patches: np.ndarray, weights: np.ndarray) -> None:
    """``patches`` is (rows, words, depth), ``weights`` (words, cols, depth)."""
    for r in range(sizes.rows):
        for word in range(sizes.patch_words):
            bits, bank = 8 * sizes.depth, word % 2
            address = (sizes.patch_words // 2 - 1).bit_length() or 1
            dut.row_enable.value = 1 << (2 * r + bank)
            dut.bank_address.value = (word // 2) << (address * bank)
            dut.bank_data.value = row(patches[r, word], 8) << (bits * bank)
            await FallingEdge(dut.clk)
    dut.row_enable.value = 0
    for word in range(sizes.weight_words):
        dut.weight_enable.value, dut.weight_address.value = 1, word
        dut.weight_data.value = row(weights[word].reshape(-1), sizes.weight_bits)
        await FallingEdge(dut.clk)
    dut.weight_enable.value = 0


@cocotb.test()
async def passes(dut):
    g = random.Random(cocotb.RANDOM_SEED)
    numbers = np.random.default_rng(cocotb.RANDOM_SEED)
    sizes = Sizes()
    layout = json.loads(os.environ["STEP"])
    await clocked(dut, valid=0, row_enable=0, weight_enable=0)
    half = 1 << (sizes.weight_bits - 1)
    patches = numbers.integers(-128, 128, (sizes.rows, sizes.patch_words, sizes.depth))
    weights = numbers.integers(-half, half, (sizes.weight_words, sizes.cols, sizes.depth))
    patches[:, 0], weights[0] = -128, -half
    # The upper half of the weights choose one activation each, for maxima.
    choose = sizes.weight_words // 2
    chosen = numbers.integers(0, sizes.depth, (sizes.weight_words - choose, sizes.cols))
    weights[choose:] = np.eye(sizes.depth, dtype=weights.dtype)[chosen]
    await fill(dut, sizes, patches, weights)

    steps: list[dict[str, int] | None] = []
    wanted: list[list[int]] = []
    due: list[int] = []
    free = 0
    for _ in range(60):
        words = g.randint(1, 6)
        groups_last, rows = g.randrange(sizes.groups), g.randint(1, sizes.rows)
        burst = groups_last + 1 + (rows - 1) * (groups_last + 1)
        maximum = option("maximum") * g.randint(0, 1)
        sums = np.zeros((sizes.rows, sizes.cols), dtype=np.int64)
        for word in range(words):
            patch = g.randrange(sizes.patch_words)
            weight = g.randrange(choose if maximum else 0, sizes.weight_words)
            while g.random() < 0.3:
                steps.append(None)
            # The drain reads a pass's results before the next pass's last step overtakes them.
            while word == words - 1 and len(steps) < free:
                steps.append(None)
            dots = patches[:, patch] @ weights[weight].T
            joined = np.maximum(sums, dots) if maximum else sums + dots
            sums = joined if word else dots
            steps.append(
                {
                    "patch": patch,
                    "weight": weight,
                    "first": int(word == 0),
                    "last": int(word == words - 1),
                    "maximum": maximum,
                    "burst": burst,
                    "groups_last": groups_last,
                }
            )
        free = len(steps) - 1 + burst
        for r in range(rows):
            for group in range(groups_last + 1):
                due.append(len(steps) - 1 + option("latency") + r * (groups_last + 1) + group)
                wanted.append(list(sums[r, group * sizes.lanes : (group + 1) * sizes.lanes]))

    seen, times = [], []
    for cycle in range(due[-1] + 3):
        step = steps[cycle] if cycle < len(steps) else None
        dut.valid.value = int(step is not None)
        noise = {name: g.getrandbits(width) for name, width in layout.items()}
        dut.step.value = pack(layout, noise | {"last": 0} if step is None else step)
        await RisingEdge(dut.clk)
        if int(dut.result_valid.value):
            seen.append(signed(int(dut.result.value), 32, sizes.lanes))
            times.append(cycle)
        await FallingEdge(dut.clk)
    assert times == due
    assert seen == wanted
