import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl.config import Config
from rtl.crossbar import Crossbar
from rtl.gather import Gather
from rtl.packer import Packer
from rtl.words import word_fields
from tests.rtl.bench_gather import CAPACITY, WORD, windows
from tests.rtl.blocks import bench, config, stored

SEED = 9


def machine(rows: int, depth: int, ring: int) -> Config:
    half = CAPACITY // WORD
    return config(rows=rows, depth=depth, patch_words=ring, buffer_words=(half, half))


def packed(sizes: tuple[int, int, int]) -> list[int]:
    fields = word_fields(machine(*sizes))["gather"]
    return [stored(fields, window["word"]) for window in windows(SEED, *sizes)]


class Path(wiring.Component):
    """Gather and packer; the bench is the buffer between them."""

    i: stream.Interface
    request: stream.Interface
    beat_o: Signal
    beat_valid: Signal
    beat_i: Signal

    def __init__(self, c: Config):
        self._gather, self._packer = Gather(c, word_fields(c)["gather"]), Packer(c)
        gather, packer = self._gather.signature.members, self._packer.signature.members
        names = ("i", "request", "stored", "fetched", "gathered", "clear", "hold")
        outward = ("bytes", "written", "released", "row_enable", "bank_address", "bank_data")
        super().__init__(
            {name: gather[name] for name in names}
            | {name: packer[name] for name in outward}
            | {"beat_o": gather["beat"], "beat_valid": In(1), "beat_i": packer["beat"]}
        )
        self._names, self._outward = names, outward

    def elaborate(self, platform):
        m = Module()
        m.submodules.gather, m.submodules.packer = gather, packer = self._gather, self._packer
        wiring.connect(m, wiring.flipped(self.i), gather.i)
        wiring.connect(m, gather.request, wiring.flipped(self.request))
        for unit, names in ((gather, self._names[2:]), (packer, self._outward)):
            for name in names:
                inner, outer = getattr(unit, name), getattr(self, name)
                flow = self.signature.members[name].flow
                m.d.comb += outer.eq(inner) if flow == Out else inner.eq(outer)
        m.d.comb += [
            self.beat_o.eq(gather.beat),
            packer.beat.eq(self.beat_i),
            packer.valid.eq(self.beat_valid),
            packer.claim.eq(gather.claim),
            gather.room.eq(packer.room),
        ]
        return m


@pytest.mark.parametrize("sizes", [(1, 3, 32), (3, 9, 16), (2, 4, 32)])
def test_gather_and_packer(sizes):
    rows, depth, ring = sizes
    c = machine(*sizes)
    latency = Crossbar.READ_LATENCY + 1
    ways = {"rows": rows, "depth": depth, "ring": ring, "window": c.window, "latency": latency}
    bench(Path(c), "bench_gather", SEED, **ways)
