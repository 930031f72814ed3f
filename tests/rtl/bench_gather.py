"""cocotb tests of gather and packer: windows become the patches that NumPy cuts."""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option

CAPACITY, WORD = 4096, 8

TOKENS = 45
"""By how much the progress counters grow within a window."""


def windows(seed: int, rows: int, depth: int, ring: int, count: int = 25) -> list[dict[str, Any]]:
    """Random convolution windows over random images, with the gather word of each."""
    g = random.Random(seed)
    result: list[dict[str, Any]] = []
    while len(result) < count:
        height, width, channels = g.randint(1, 9), g.randint(1, 9), g.randint(1, 5)
        kernel, stride = (g.randint(1, 3), g.randint(1, 3)), (g.randint(1, 3), g.randint(1, 3))
        spread = g.choice([(1, 1), (1, 1), (2, 1), (1, 2)])
        top, left = g.randint(0, kernel[0] - 1), g.randint(0, kernel[1] - 1)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, spread, strict=True)]
        after = [g.randint(0, k - 1) for k in kernel]
        out = [
            (size + before + behind - r) // step + 1
            for size, before, behind, r, step in zip(
                (height, width), (top, left), after, reach, stride, strict=True
            )
        ]
        if out[0] < 1 or out[1] < 1:
            continue
        # A run is a window's line where its pixels touch, else one pixel's channels.
        joined = spread[1] == 1 and g.random() < 0.7
        run = channels * kernel[1] if joined else channels
        taps = 1 if joined else kernel[1]
        align = int(g.random() < 0.3)
        runs = kernel[0] * taps
        words = runs * -(-run // depth) if align else -(-runs * run // depth)
        if words > ring:
            continue
        base, tokens = g.randint(0, 100), TOKENS * len(result)
        result.append(
            {
                "image": (height, width, channels),
                "kernel": kernel,
                "stride": stride,
                "spread": spread,
                "before": (top, left),
                "out": out,
                "joined": joined,
                "base": base,
                "word": {
                    "buffer": 1,
                    "address": (base - (top * width + left) * channels) % CAPACITY,
                    "tap_step": spread[1] * channels,
                    "line_step": spread[0] * width * channels,
                    "pixel_step": stride[1] * channels,
                    "row_step": stride[0] * width * channels,
                    "run": run,
                    "taps": taps - 1,
                    "lines": kernel[0] - 1,
                    "pixels": out[1] - 1,
                    "rows": out[0] - 1,
                    "position": -left * channels,
                    "width": width * channels,
                    "line": -top,
                    "line_stride": spread[0],
                    "row_stride": stride[0],
                    "height": height,
                    "pad": g.randint(-128, 127),
                    "words": words - 1,
                    "align": align,
                    "start": tokens + g.randint(0, 4),
                    "producer": g.randint(0, 1),
                    "need": tokens + g.randint(0, 9),
                    "line_need": g.randint(0, 5),
                    "row_need": g.randint(0, 5),
                    "limit": tokens + g.randint(0, 40),
                },
            }
        )
    return result


def patches(window: dict[str, Any], image: np.ndarray) -> list[list[int]]:
    """The bytes under each pixel's window, a list per run."""
    (height, width), channels = image.shape[:2], image.shape[2]
    top, left = window["before"]
    padded = np.full((height + 40, width + 40, channels), window["word"]["pad"])
    padded[top : top + height, left : left + width] = image
    result = []
    for y in range(window["out"][0]):
        for x in range(window["out"][1]):
            at = (y * window["stride"][0], x * window["stride"][1])
            ends = [
                p + k * d for p, k, d in zip(at, window["kernel"], window["spread"], strict=True)
            ]
            cut = padded[
                at[0] : ends[0] : window["spread"][0], at[1] : ends[1] : window["spread"][1]
            ]
            result.append(cut.reshape(-1).tolist())
    return result


def beats(window: dict[str, Any], most: int):
    """Least progress of the source for each beat, in order; 0 where the line is padding."""
    word = window["word"]
    for row in range(word["rows"] + 1):
        for _ in range(word["pixels"] + 1):
            for line in range(word["lines"] + 1):
                y = word["line"] + row * word["row_stride"] + line * word["line_stride"]
                need = word["need"] + line * word["line_need"] + row * word["row_need"]
                inside = 0 <= y < word["height"]
                for _ in range((word["taps"] + 1) * -(-word["run"] // most)):
                    yield min(need, word["limit"]) if inside else 0


def layout(patch: list[int], word: dict[str, int], depth: int) -> np.ndarray:
    """A patch as words of ``depth`` bytes; -1 for what completes the last one, or each run's."""
    size = word["run"] if word["align"] else len(patch)
    runs = np.reshape([byte & 255 for byte in patch], (-1, size))
    return np.pad(runs, ((0, 0), (0, -size % depth)), constant_values=-1).reshape(-1, depth)


class Bench:
    """The buffers before, the patch rings behind, and the counters of the other units."""

    def __init__(self, dut, g: random.Random, busy: float):
        self.dut, self.g, self.busy = dut, g, busy
        self.rows, self.depth, self.ring = option("rows"), option("depth"), option("ring")
        self.window, self.latency = option("window"), option("latency")
        self.words: list[int] = []
        self.rings = np.zeros((self.rows, self.ring, self.depth), np.uint8)
        self.flight: list[tuple[int, int, np.ndarray] | None] = [None] * self.latency
        self.needs: list[tuple[int, int, str, np.ndarray]] = []
        self.progress = {"stored": 0, "fetched": 0}
        self.released = 0
        self.cycle = 0
        self.accepted = 0

    async def tick(self) -> int:
        """One cycle; returns how many words the packer has published so far."""
        dut, g = self.dut, self.g
        most = TOKENS * (int(dut.gathered.value) + 1)
        for name in self.progress:
            self.progress[name] = min(most, self.progress[name] + (g.random() < self.busy))
            getattr(dut, name).value = self.progress[name]
        dut.request_ready.value = int(g.random() < self.busy)
        # An offered word stays until it is taken.
        if self.words and (int(dut.i_valid.value) or g.random() < self.busy):
            dut.i_valid.value, dut.i_payload.value = 1, self.words[0]
        beat = self.flight.pop(0)
        dut.beat_valid.value = int(beat is not None)
        dut.bytes.value = g.getrandbits(8 * self.window)
        if beat is not None:
            dut.beat_i.value = beat[0]
            places = (beat[1] + np.arange(self.window)) % CAPACITY
            dut.bytes.value = int.from_bytes(beat[2][places].tobytes(), "little")
        await RisingEdge(dut.clk)
        taken = int(dut.i_valid.value) and int(dut.i_ready.value)
        if int(dut.request_valid.value) and int(dut.request_ready.value):
            payload = int(dut.request_payload.value)
            assert payload & 1 == 1
            least, start, source, memory = self.needs.pop(0)
            assert self.progress["stored"] >= start
            assert self.progress[source] >= least
            self.accepted += 1
            self.flight.append((int(dut.beat_o.value), payload >> 1, memory))
        else:
            self.flight.append(None)
        enable = int(dut.row_enable.value)
        bits = max(1, (self.ring // 2 - 1).bit_length())
        for bank in range(2):
            address = int(dut.bank_address.value) >> bits * bank & ((1 << bits) - 1)
            word = int(dut.bank_data.value) >> 8 * self.depth * bank & ((1 << 8 * self.depth) - 1)
            data = np.frombuffer(word.to_bytes(self.depth, "little"), np.uint8)
            for r in range(self.rows):
                if enable >> (2 * r + bank) & 1:
                    self.rings[r, 2 * address + bank] = data
        written = int(dut.written.value)
        await FallingEdge(dut.clk)
        if taken:
            self.words.pop(0)
            dut.i_valid.value = 0
        self.cycle += 1
        return written

    def release(self, words: int) -> None:
        self.released = (self.released + words) % (2 * self.ring)
        self.dut.released.value = self.released


async def run(dut, busy: float) -> Bench:
    from tests.rtl.test_gather import SEED, packed

    g = random.Random(cocotb.RANDOM_SEED)
    values = np.random.default_rng(cocotb.RANDOM_SEED)
    bench = Bench(dut, g, busy)
    sizes = (bench.rows, bench.depth, bench.ring)
    await clocked(dut, i_valid=0, request_ready=0, beat_valid=0, released=0, clear=0, hold=0)
    drawn, bench.words = windows(SEED, *sizes), list(packed(sizes))
    images = []
    for window in drawn:
        word, image = window["word"], values.integers(-128, 128, window["image"])
        memory = values.integers(0, 256, CAPACITY).astype(np.uint8)
        memory[window["base"] : window["base"] + image.size] = image.reshape(-1) & 255
        source = "fetched" if word["producer"] else "stored"
        bench.needs += [(n, word["start"], source, memory) for n in beats(window, bench.window)]
        images.append(image)
    position = 0
    for count, (window, image) in enumerate(zip(drawn, images, strict=True)):
        word = window["word"]
        pixels, words = patches(window, image), word["words"] + 1
        unread = 0
        for tile in range(0, len(pixels), bench.rows):
            group = pixels[tile : tile + bench.rows]
            wanted = [layout(patch, word, bench.depth) for patch in group]
            published = 0
            for _ in range(4000):
                before, published = published, (await bench.tick() - position) % (2 * bench.ring)
                assert before <= published <= words
                # What is published is complete in every row.
                for r, ring in enumerate(wanted):
                    for i in range(before, published):
                        seen = bench.rings[r, (position + i) % bench.ring]
                        genuine = ring[i] >= 0
                        assert (seen == ring[i])[genuine].all(), f"pixel {tile + r}: {window}"
                if unread and g.random() < 0.1:
                    bench.release(words)
                    unread -= 1
                if published == words:
                    break
            assert published == words
            position = (position + words) % (2 * bench.ring)
            unread += 1
        assert int(dut.gathered.value) > count
        bench.release(words * unread)
    assert not bench.needs
    assert not bench.words
    assert int(dut.gathered.value) == len(drawn)
    return bench


@cocotb.test()
async def with_stalls(dut):
    await run(dut, 0.5)


@cocotb.test()
async def without_stalls(dut):
    await run(dut, 1.0)
