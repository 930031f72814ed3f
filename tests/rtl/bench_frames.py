"""cocotb tests of frames against RFC 1055 and the CRC-32 of the standard library."""

import binascii
import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.stream import clocked, option, pauses, sink, source

MARKS = (0xC0, 0xDB)
ESCAPED = {0xC0: [0xDB, 0xDC], 0xDB: [0xDB, 0xDD]}
CHECK = 4


def line(body: bytes) -> list[int]:
    """The bytes of a frame on the line."""
    whole = body + binascii.crc32(body).to_bytes(CHECK, "little")
    return [0xC0, *(sent for byte in whole for sent in ESCAPED.get(byte, [byte])), 0xC0]


def marked(generator: random.Random, place: int, mark: int) -> bytes:
    """A body whose check sum has ``mark`` at ``place``."""
    while True:
        body = generator.randbytes(generator.randint(1, 9))
        if binascii.crc32(body) >> (8 * place) & 0xFF == mark:
            return body


def bodies(generator: random.Random, longest: int) -> list[bytes]:
    """Random ones, ones full of marks, and ones with each mark at each place of the check sum."""
    found = [generator.randbytes(generator.randint(1, longest)) for _ in range(20)]
    found += [bytes(generator.choices(MARKS, k=generator.randint(1, 9))) for _ in range(10)]
    found += [marked(generator, place, mark) for place in range(CHECK) for mark in MARKS]
    generator.shuffle(found)
    return found


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def framer_escapes_bodies_and_check_sums(dut) -> None:
    """Bodies under random stalls on both sides."""
    generator = random.Random(cocotb.RANDOM_SEED)
    frames = bodies(generator, 20)
    await clocked(dut, i_valid=0, o_ready=0, valid=0, done=0, address=0)
    sent: list[int] = []
    cocotb.start_soon(sink(dut, "o", sent.append, pauses(generator)))
    offered = [
        byte | (index == len(body) - 1) << 8 for body in frames for index, byte in enumerate(body)
    ]
    await source(dut, "i", offered, pauses(generator))
    wanted = [byte for body in frames for byte in line(body)]
    for _ in range(200):
        await FallingEdge(dut.clk)
    assert sent == wanted


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def deframer_offers_whole_frames_only(dut) -> None:
    """Frames in order, with damaged ones between them, at every pace."""
    generator = random.Random(cocotb.RANDOM_SEED)
    depth = option("depth")
    await clocked(dut, i_valid=0, o_ready=0, valid=0, done=0, address=0)

    async def send(items: list[int], pace: float) -> None:
        for item in items:
            while generator.random() < pace:
                await FallingEdge(dut.clk)
            dut.valid.value, dut.arrived.value = 1, item
            await FallingEdge(dut.clk)
            dut.valid.value = 0

    for body in bodies(generator, depth - CHECK):
        pace = generator.choice((0, 0.5, 0.9))
        damage = generator.choice(("bit", "lost", "twice", "long"))
        broken = line(body)
        at = generator.randrange(1, len(broken) - 1)
        if damage == "bit":
            broken[at] ^= 1 << generator.randrange(8)
        elif damage == "lost":
            del broken[at]
        elif damage == "twice":
            broken.insert(at, broken[at])
        else:
            broken = line(generator.randbytes(depth - CHECK + 1))
        await send(broken, pace)
        for _ in range(4):
            await RisingEdge(dut.clk)
            assert not int(dut.ready.value), f"{damage} at {at} of {line(body)} was not noticed"
        await FallingEdge(dut.clk)
        await send(line(body), pace)
        for _ in range(3):
            await FallingEdge(dut.clk)
        assert int(dut.ready.value)
        assert int(dut.length.value) == len(body)
        found = []
        for address in range(len(body)):
            dut.address.value = address
            for _ in range(3):
                await FallingEdge(dut.clk)
            found.append(int(dut.data.value))
        assert bytes(found) == body
        # What comes while a frame is on offer is dropped.
        await send(line(b"meanwhile"), pace)
        dut.done.value = 1
        await FallingEdge(dut.clk)
        dut.done.value = 0
