"""Sources, sinks and checks for the streams of a block under cocotb."""

import os
import random
from collections.abc import Callable, Iterator, Sequence

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

__all__ = ["Monitor", "clocked", "option", "pauses", "sink", "source"]

PERIOD = 10


def option(name: str, otherwise: int = 0) -> int:
    """An integer that the pytest side handed over."""
    return int(os.environ.get(name.upper(), otherwise))


def pauses(generator: random.Random, probability: float = 0.5) -> Iterator[bool]:
    """An endless generator of pauses, as cocotbext-axi takes them."""
    number = random.Random(generator.getrandbits(32))
    while True:
        yield number.random() < probability


async def clocked(dut, **values: int) -> None:
    """Start the clock, drive ``values`` and leave reset behind; returns at a falling edge.

    Benches drive at falling edges and look just before rising ones, so no race is possible.
    """
    cocotb.start_soon(Clock(dut.clk, PERIOD, "ns").start())
    for name, value in values.items():
        getattr(dut, name).value = value
    dut.rst.value = 1
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value = 0


async def source(dut, name: str, payloads: Sequence[int], stall: Iterator[bool]) -> None:
    """Offer ``payloads`` one after the other on stream ``name``, each until it is taken."""
    valid, ready = getattr(dut, f"{name}_valid"), getattr(dut, f"{name}_ready")
    payload = getattr(dut, f"{name}_payload")
    for value in payloads:
        while next(stall):
            await FallingEdge(dut.clk)
        valid.value, payload.value = 1, value
        while True:
            await RisingEdge(dut.clk)
            taken = int(ready.value)
            await FallingEdge(dut.clk)
            if taken:
                break
        valid.value = 0


async def sink(
    dut, name: str, take: Callable[[int], None], stall: Iterator[bool], *, always: bool = False
) -> None:
    """Call ``take`` with each payload of stream ``name``; never returns.

    Also holds the stream to its contract: once valid, a payload stays until it is taken.
    """
    valid, payload = getattr(dut, f"{name}_valid"), getattr(dut, f"{name}_payload")
    ready = None if always else getattr(dut, f"{name}_ready")
    waiting = None
    while True:
        willing = always or not next(stall)
        if ready is not None:
            ready.value = int(willing)
        await RisingEdge(dut.clk)
        offered = int(payload.value) if int(valid.value) else None
        if waiting is not None:
            assert offered == waiting, f"{name} changed from {waiting:#x} before it was taken"
        waiting = offered if not willing else None
        if offered is not None and willing:
            take(offered)
        await FallingEdge(dut.clk)


class Monitor:
    """Counts cycles, and calls functions in each of them, just before its rising edge."""

    def __init__(self, dut) -> None:
        self.cycle = 0
        self.watchers: list[Callable[[int], None]] = []
        self._dut = dut
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            await RisingEdge(self._dut.clk)
            for watcher in self.watchers:
                watcher(self.cycle)
            self.cycle += 1
