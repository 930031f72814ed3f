"""cocotb tests of the result address generator against nested loops."""

import random
from collections.abc import Iterator

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option


def words(seed: int, rows: int, groups: int, count: int = 40) -> list[dict[str, int]]:
    """Random epilogue words, known to both sides of the bench."""
    g = random.Random(seed)
    result = []
    for _ in range(count):
        tiles, passes, width = g.randint(1, 5), g.randint(1, 3), g.randint(1, 6)
        result.append(
            {
                "tiles": tiles - 1,
                "passes": passes - 1,
                "rows_last": g.randrange(rows),
                "groups_last": g.randrange(groups),
                "stationary": g.randint(0, 1),
                "channel_step": g.randint(-9, 9),
                "pass_step": g.randint(-30, 30),
                "edge": g.randrange(3),
                "lines": g.randrange(4),
                "bias": g.randrange(4),
                "bias_step": g.randint(0, 1),
                "scale": g.randrange(4),
                "scale_step": g.randint(0, 1),
                "pixels": width - 1,
                "address": g.randrange(64),
                "pixel": g.randint(-20, 20),
                "row": g.randint(-40, 60),
                "residual_address": g.randrange(64),
                "residual_pixel": g.randint(-20, 20),
                "residual_row": g.randint(-40, 60),
            }
        )
    return result


def golden(word: dict[str, int], rows: int, groups: int, lanes: int) -> Iterator[dict[str, int]]:
    """Nested loops over tiles, passes, rows and groups; each pixel's address and place in its row
    by following the steps to it."""
    places: dict[str, list[int]] = {}
    corners = []
    for name, prefix in (("store", ""), ("residual", "residual_")):
        at, x, y, places[name] = word[f"{prefix}address"], 0, 0, []
        for _ in range((word["tiles"] + 1) * rows):
            places[name].append(at)
            ends = x == word["pixels"]
            corners.append((ends, y == word["lines"]))
            at += word[f"{prefix}row"] if ends else word[f"{prefix}pixel"]
            x, y = (0, y + 1) if ends else (x + 1, y)
    tiles, passes = range(word["tiles"] + 1), range(word["passes"] + 1)
    order = [(tile, n) for tile in tiles for n in passes]
    if word["stationary"]:
        order = [(tile, n) for n in passes for tile in tiles]
    for tile, n in order:
        last_tile, last_pass = tile == word["tiles"], n == word["passes"]
        high = word["rows_last"] + 1 if last_tile else rows
        wide = word["groups_last"] + 1 if last_pass else groups
        for row in range(high):
            for group in range(wide):
                index, pixel = n * groups + group, tile * rows + row
                channel = n * word["pass_step"] + group * word["channel_step"]
                edges = (last_pass and group == wide - 1, *corners[pixel])
                yield {
                    "store": places["store"][pixel] + channel,
                    "residual": places["residual"][pixel] + channel,
                    "bias": word["bias"] + word["bias_step"] * index,
                    "scale": word["scale"] + word["scale_step"] * index,
                    "partial": int(edges[word["edge"]]),
                    "last": int(last_tile and last_pass and row == high - 1 and group == wide - 1),
                }


@cocotb.test()
async def nested_loops(dut):
    from tests.rtl.test_scatter import packed

    generator = random.Random(cocotb.RANDOM_SEED)
    sizes = option("rows"), option("groups"), option("lanes")
    await clocked(dut, step=0)

    async def cycle(**shown: int) -> None:
        """One cycle, in which all that is ``shown`` must be there."""
        await RisingEdge(dut.clk)
        for name, value in shown.items():
            port = getattr(dut, name)
            mask = (1 << len(port)) - 1
            assert int(port.value) == value & mask, f"{name} of {word}"
        await FallingEdge(dut.clk)

    for word, bits in zip(words(option("words"), *sizes[:2]), packed(sizes), strict=True):
        dut.word.value, dut.begun.value = bits, 0
        await FallingEdge(dut.clk)
        dut.begun.value = 1
        # All but ``last`` come a cycle after the step.
        wanted = {}
        for following in golden(word, *sizes):
            while generator.random() < 0.3:
                await cycle(**wanted)
                wanted = {}
            dut.step.value = 1
            await cycle(**wanted, last=following.pop("last"))
            dut.step.value, wanted = 0, following
        await cycle(**wanted)
