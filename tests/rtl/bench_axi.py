"""cocotb tests of fetch and send against cocotbext-axi's memory."""

import json
import logging
import os
import random
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiResp

from tests.rtl.blocks import unpack
from tests.rtl.stream import clocked, option, pauses, sink, source

BEAT, WORD = 4, 8
MEMORY = 1 << 17
BUFFERS, SIZE = 3, 8192
REGIONS = (0x0000, 0x4FC0, 0x9000, 0x1_2004)
TOKENS = ("gathered", "passed", "stored", "sent")
TENSOR, WEIGHTS, BIASES = range(3)


def transfers(seed: int, weight_beats: int, bias_beats: int) -> list[dict[str, int]]:
    """Random words that cross pages and outgrow bursts, known to both sides of the bench."""
    g = random.Random(seed)
    result = []
    tokens = dict.fromkeys(TOKENS, 0)
    for count in range(24):
        region = g.randrange(4)
        offset = BEAT * g.randrange(0x3000 // BEAT)
        target = g.choice([TENSOR, TENSOR, WEIGHTS, BIASES])
        beats = g.choice([1, 2, 5, 16, 256, 257, g.randint(1, 700)])
        if count == 0:
            region, offset, target, beats = 2, 0, TENSOR, 512
        if count == 1:
            region, offset, target, beats = 0, 4096 - BEAT, TENSOR, 600
        if target == WEIGHTS:
            beats = weight_beats * g.randint(1, 20)
        if target == BIASES:
            beats = bias_beats * g.randint(1, 10)
        for name in TOKENS:
            tokens[name] += g.choice([0, 0, 1, 3])
        most = SIZE - BEAT * beats
        result.append(
            {
                "region": region,
                "offset": offset,
                "beats": beats,
                "target": target,
                "buffer": g.randrange(BUFFERS),
                "address": BEAT * g.randrange(most // BEAT) if target == TENSOR else g.randrange(6),
                **tokens,
            }
        )
    return result


def base(word: dict[str, int]) -> int:
    return REGIONS[word["region"]] + word["offset"]


class Bursts:
    """Checks an address channel: whole pages, legal lengths, and stable until accepted."""

    def __init__(self, dut, prefix: str, starts: Callable[[int, int], None]):
        self.dut, self.prefix, self.starts = dut, prefix, starts
        self.count, self.longest = 0, 0
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        names = [f"axi_{self.prefix}{name}" for name in ("addr", "len", "size", "burst")]
        waiting = None
        while True:
            await RisingEdge(self.dut.clk)
            valid = int(getattr(self.dut, f"axi_{self.prefix}valid").value)
            ready = int(getattr(self.dut, f"axi_{self.prefix}ready").value)
            now = tuple(int(getattr(self.dut, name).value) for name in names) if valid else None
            if waiting is not None:
                assert now == waiting, f"{self.prefix} changed before it was accepted"
            waiting = now if valid and not ready else None
            if now is not None and ready:
                address, length, size, burst = now
                assert (1 << size, burst) == (BEAT, 1)
                assert address % BEAT == 0
                assert address // 4096 == (address + BEAT * (length + 1) - 1) // 4096
                self.count += 1
                self.longest = max(self.longest, length + 1)
                self.starts(address, length + 1)


async def progress(dut, names: tuple[str, ...], most: dict[str, int], g: random.Random) -> None:
    """The other units' counters, which only grow."""
    values = dict.fromkeys(names, 0)
    while True:
        for name in names:
            if values[name] < most[name] and g.random() < 0.02:
                values[name] += 1
            getattr(dut, name).value = values[name]
        await FallingEdge(dut.clk)


def quiet(dut) -> None:
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)


async def fetching(dut, stalled: bool) -> None:
    from tests.rtl.test_axi import SEED, packed

    quiet(dut)
    g = random.Random(cocotb.RANDOM_SEED)
    layout, per = json.loads(os.environ["LAYOUT"]), json.loads(os.environ["PER"])
    words = transfers(SEED, *per)
    ram: Any = AxiRam(AxiBus.from_prefix(dut, "axi"), dut.clk, dut.rst, size=MEMORY)
    ram.write(0, g.randbytes(MEMORY))
    if stalled:
        ram.read_if.ar_channel.set_pause_generator(pauses(g))
        ram.read_if.r_channel.set_pause_generator(pauses(g))
    await clocked(dut, i_valid=0, store_ready=0, clear=0, hold=0, regions=pack_regions())
    images = [bytearray(SIZE) for _ in range(BUFFERS)]
    wanted = [bytearray(SIZE) for _ in range(BUFFERS)]
    beats = [(base(w) + BEAT * i, w) for w in words for i in range(w["beats"])]
    asked = 0

    def ask(address: int, length: int) -> None:
        nonlocal asked
        for i in range(length):
            expected, word = beats[asked]
            assert address + BEAT * i == expected
            assert all(int(getattr(dut, name).value) >= word[name] for name in TOKENS)
            asked += 1

    def store(payload: int) -> None:
        value = unpack(layout, payload)
        assert value["count"] == BEAT
        data = value["data"].to_bytes(WORD, "little")[:BEAT]
        images[value["buffer"]][value["address"] : value["address"] + BEAT] = data

    constants: dict[str, list[tuple[int, int]]] = {"weight": [], "bias": []}

    async def watch() -> None:
        while True:
            await RisingEdge(dut.clk)
            for name, seen in constants.items():
                if int(getattr(dut, f"{name}_enable").value):
                    address = int(getattr(dut, f"{name}_address").value)
                    seen.append((address, int(getattr(dut, f"{name}_data").value)))
            assert not int(dut.error.value)

    bursts = Bursts(dut, "ar", ask)
    cocotb.start_soon(watch())
    cocotb.start_soon(progress(dut, TOKENS, words[-1], g))
    cocotb.start_soon(sink(dut, "store", store, pauses(g, 0.5 * stalled)))
    await source(dut, "i", packed("fetch"), pauses(g, 0.5 * stalled))
    for _ in range(20000):
        await FallingEdge(dut.clk)
        if int(dut.idle.value):
            break
    assert dut.idle.value == 1
    assert asked == len(beats)
    assert bursts.longest == 256
    assert int(dut.fetched.value) == len(beats) % (1 << len(dut.fetched))
    expected: dict[str, list[tuple[int, int]]] = {"weight": [], "bias": []}
    for word in words:
        data = bytes(ram.read(base(word), BEAT * word["beats"]))
        if word["target"] == TENSOR:
            wanted[word["buffer"]][word["address"] : word["address"] + len(data)] = data
            continue
        name = "weight" if word["target"] == WEIGHTS else "bias"
        size = BEAT * per[0 if name == "weight" else 1]
        mask = (1 << len(getattr(dut, f"{name}_data"))) - 1
        for i in range(len(data) // size):
            value = int.from_bytes(data[i * size : (i + 1) * size], "little") & mask
            expected[name].append((word["address"] + i, value))
    assert images == wanted
    assert constants == expected


def pack_regions() -> int:
    return sum(address << 32 * i for i, address in enumerate(REGIONS))


async def sending(dut, stalled: bool) -> None:
    from tests.rtl.test_axi import SEED, packed

    quiet(dut)
    g = random.Random(cocotb.RANDOM_SEED)
    words = [word for word in transfers(SEED, 1, 1) if word["target"] == TENSOR]
    ram: Any = AxiRam(AxiBus.from_prefix(dut, "axi"), dut.clk, dut.rst, size=MEMORY)
    ram.write(0, bytes(MEMORY))
    if stalled:
        channels = ram.write_if
        for channel in (channels.aw_channel, channels.w_channel, channels.b_channel):
            channel.set_pause_generator(pauses(g))
    await clocked(dut, i_valid=0, request_ready=0, clear=0, hold=0, regions=pack_regions())
    buffers = [g.randbytes(SIZE) for _ in range(BUFFERS)]
    spots = [(base(w) + BEAT * i) for w in words for i in range(w["beats"])]
    asked, requested = 0, 0
    reads = [(w, w["address"] + BEAT * i) for w in words for i in range(w["beats"])]

    def ask(address: int, length: int) -> None:
        nonlocal asked
        for i in range(length):
            assert address + BEAT * i == spots[asked]
            asked += 1

    layout = json.loads(os.environ["LAYOUT"])
    flight: list[int] = [0] * (option("latency") - 1)

    async def crossbar() -> None:
        """Answers reads as the crossbar does, with the two words that follow the address."""
        nonlocal requested
        stall = pauses(g, 0.5 * stalled)
        while True:
            dut.request_ready.value = int(not next(stall))
            await RisingEdge(dut.clk)
            assert not int(dut.error.value)
            data = g.getrandbits(16 * WORD)
            if int(dut.request_valid.value) and int(dut.request_ready.value):
                read = unpack(layout, int(dut.request_payload.value))
                word, address = reads[requested]
                assert (read["buffer"], read["address"]) == (word["buffer"], address)
                assert int(dut.stored.value) >= word["stored"]
                requested += 1
                first = address - address % WORD
                line = buffers[read["buffer"]][first : first + 2 * WORD].ljust(2 * WORD, b"\0")
                data = int.from_bytes(line, "little")
            flight.append(data)
            await FallingEdge(dut.clk)
            dut.data.value = flight.pop(0)

    bursts = Bursts(dut, "aw", ask)
    cocotb.start_soon(crossbar())
    cocotb.start_soon(progress(dut, ("stored",), words[-1], g))
    await source(dut, "i", packed("send"), pauses(g, 0.5 * stalled))
    await FallingEdge(dut.clk)
    assert dut.idle.value == 1
    assert int(dut.sent.value) == len(words)
    assert asked == requested == len(spots)
    assert bursts.longest == 256
    image = bytearray(MEMORY)
    for word in words:
        size = BEAT * word["beats"]
        data = buffers[word["buffer"]][word["address"] : word["address"] + size]
        image[base(word) : base(word) + size] = data
    assert bytes(ram.read(0, MEMORY)) == bytes(image)


@cocotb.test()
@cocotb.parametrize(stalled=[False, True])
async def transfers_are_exact(dut, stalled):
    await (fetching if option("fetch") else sending)(dut, stalled)


@cocotb.test()
async def an_error_response_is_reported(dut):
    """A lone transfer of one beat, answered with SLVERR."""
    from tests.rtl.test_axi import one_beat

    await clocked(dut, i_valid=0, clear=0, hold=0, regions=0)
    names = ("arready", "rvalid", "awready", "wready", "bvalid")
    for name in names:
        getattr(dut, f"axi_{name}").value = 0
    dut.axi_rresp.value = dut.axi_bresp.value = int(AxiResp.SLVERR)
    for name in ("store_ready", "request_ready"):
        if hasattr(dut, name):
            getattr(dut, name).value = 1
    for name in TOKENS:
        if hasattr(dut, name) and not (name == "sent" and not option("fetch")):
            getattr(dut, name).value = 0
    cocotb.start_soon(
        source(
            dut,
            "i",
            [one_beat("fetch" if option("fetch") else "send")],
            pauses(random.Random(0), 0),
        )
    )
    for name in names:
        getattr(dut, f"axi_{name}").value = 1 if name[-5:] == "ready" else 0
    errors = 0
    for cycle in range(60):
        answer = int(cycle == 40)
        dut.axi_rvalid.value = answer if option("fetch") else 0
        dut.axi_bvalid.value = 0 if option("fetch") else answer
        await RisingEdge(dut.clk)
        errors += int(dut.error.value)
        await FallingEdge(dut.clk)
    assert errors == 1
    assert dut.idle.value == 1
