"""cocotb tests of the crossbar against byte arrays and a table of precedences."""

import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from tests.rtl.blocks import pack, unpack
from tests.rtl.stream import clocked, option

READERS, WRITERS = ("residual", "gather", "send"), ("store", "fetch")
WORD, SIZES = 8, (512, 512, 256)
READ = {"buffer": 2, "address": 9}
WRITE = READ | {"count": 4, "data": 64}


def linked(port: str, buffer: int) -> bool:
    return not option("pruned") or (port, buffer) not in (
        ("residual", 0),
        ("send", 1),
        ("fetch", 2),
    )


class Model:
    """Images of the buffers; what each port offers, and the answers that are due."""

    def __init__(self, generator: random.Random, busy: float):
        self.generator, self.busy = generator, busy
        self.images = [bytearray(size) for size in SIZES]
        self.offers: dict[str, dict[str, int] | None] = dict.fromkeys((*READERS, *WRITERS))
        self.due: list[tuple[int, str, int]] = []
        self.refused = dict.fromkeys((*READERS, *WRITERS), 0)
        # Accepted in the cycles before, and on their way to the memory.
        self.writes: list[list[dict[str, int]]] = [[]] * (option("write_latency") - 1)

    def offer(self) -> None:
        g = self.generator
        for port, offered in self.offers.items():
            if offered is None and g.random() < self.busy:
                buffer = g.choice([b for b in range(len(SIZES)) if linked(port, b)])
                offer = {"buffer": buffer, "address": g.randrange(SIZES[buffer])}
                if port in WRITERS:
                    offer |= {"count": g.randrange(WORD + 1), "data": g.getrandbits(64)}
                self.offers[port] = offer

    def step(self, cycle: int, ready: dict[str, int], latency: int) -> None:
        for names in (READERS, WRITERS):
            taken: set[int] = set()
            for port in names:
                offered = self.offers[port]
                if offered is None:
                    continue
                assert ready[port] == (offered["buffer"] not in taken), f"cycle {cycle}: {port}"
                taken.add(offered["buffer"])
                if not ready[port]:
                    self.refused[port] += 1
                elif names is READERS:
                    self.read(cycle + latency, port, offered)
        # The oldest of those writes reach the memory when this cycle's reads do.
        fresh: list[set[int]] = [set() for _ in SIZES]
        for write in self.writes.pop(0):
            image = self.images[write["buffer"]]
            for i in range(write["count"]):
                place = (write["address"] + i) % len(image)
                image[place] = write["data"] >> 8 * i & 255
                fresh[write["buffer"]].add(place // WORD)
        offers = {port: self.offers[port] for port in WRITERS if ready[port]}
        self.writes.append([offer for offer in offers.values() if offer is not None])
        # A read in the very cycle of a write to its words is what the schedule rules out.
        doubtful = []
        for due, port, wanted in self.due:
            buffer, first = self.places.get((due, port), (0, 0))
            words = {first, (first + 1) % (SIZES[buffer] // WORD)}
            if not (due == cycle + latency and words & fresh[buffer]):
                doubtful.append((due, port, wanted))
        self.due = doubtful
        for port in self.offers:
            if self.offers[port] is not None and ready[port]:
                self.offers[port] = None

    places: dict[tuple[int, str], tuple[int, int]]

    def read(self, due: int, port: str, offered: dict[str, int]) -> None:
        image = self.images[offered["buffer"]]
        first = offered["address"] // WORD
        words = bytes(image[(first * WORD + i) % len(image)] for i in range(2 * WORD))
        self.places[due, port] = (offered["buffer"], first)
        self.due.append((due, port, int.from_bytes(words, "little")))


async def exercise(dut, busy: float, cycles: int) -> Model:
    model = Model(random.Random(cocotb.RANDOM_SEED), busy)
    model.places = {}
    await clocked(dut, **{f"{port}_valid": 0 for port in model.offers})
    for buffer, size in enumerate(SIZES):
        for at in range(0, size, WORD):
            write = {"buffer": buffer, "address": at, "count": WORD, "data": 0}
            port = "store"
            getattr(dut, f"{port}_payload").value = pack(WRITE, write)
            getattr(dut, f"{port}_valid").value = 1
            await FallingEdge(dut.clk)
    latency = option("latency")
    for cycle in range(cycles):
        model.offer()
        for port, offered in model.offers.items():
            layout = READ if port in READERS else WRITE
            getattr(dut, f"{port}_valid").value = int(offered is not None)
            if offered is not None:
                getattr(dut, f"{port}_payload").value = pack(layout, offered)
                assert unpack(layout, pack(layout, offered)) == offered
        await RisingEdge(dut.clk)
        for due, port, wanted in model.due:
            if due == cycle:
                assert int(getattr(dut, f"{port}_data").value) == wanted, f"cycle {cycle}: {port}"
        model.due = [entry for entry in model.due if entry[0] > cycle]
        ready = {port: int(getattr(dut, f"{port}_ready").value) for port in model.offers}
        model.step(cycle, ready, latency)
        await FallingEdge(dut.clk)
    return model


@cocotb.test()
async def sparse_traffic(dut):
    await exercise(dut, 0.2, 2000)


@cocotb.test()
async def crowded_traffic(dut):
    model = await exercise(dut, 0.9, 2000)
    assert not model.refused["residual"]
    assert not model.refused["store"]
    assert all(model.refused[port] for port in ("gather", "send", "fetch"))
