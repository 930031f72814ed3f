import json

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import Config
from rtl.crossbar import Crossbar, read_layout, write_layout
from rtl.fetch import Fetch, bias_beats, weight_beats
from rtl.send import Send
from rtl.words import word_fields
from tests.rtl.bench_axi import BEAT, BUFFERS, SIZE, TENSOR, WORD, transfers
from tests.rtl.blocks import bench, config, stored

SEED = 11


class Identified(wiring.Component):
    """A unit with the identifiers that cocotbext-axi insists on, all zero."""

    def __init__(self, unit: Fetch | Send):
        self._unit = unit
        ids = {"axi_arid": Out(1), "axi_awid": Out(1), "axi_rid": In(1), "axi_bid": In(1)}
        super().__init__(dict(unit.signature.members) | ids)

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self._unit
        inner = {path: value for path, _, value in unit.signature.flatten(unit)}
        for path, member, outer in self.signature.flatten(self):
            if path in inner:
                outward = member.flow == Out
                m.d.comb += outer.eq(inner[path]) if outward else inner[path].eq(outer)
        return m


def machine() -> Config:
    sizes = {"word_bytes": WORD, "axi_bytes": BEAT, "token_bits": 16}
    return config(buffer_words=(SIZE // WORD,) * BUFFERS, **sizes)


def beats() -> tuple[int, int]:
    """Beats per weight word and per bias word, counted here and not by the hardware's own."""
    c = machine()
    return -(-c.cols * c.depth // BEAT), c.lanes * 4 // BEAT


def packed(unit: str) -> list[int]:
    fields = word_fields(machine())[unit]
    words = transfers(SEED, *(beats() if unit == "fetch" else (1, 1)))
    if unit == "send":
        words = [word for word in words if word["target"] == TENSOR]
    return [stored(fields, {n: v for n, v in word.items() if n in fields}) for word in words]


def one_beat(unit: str) -> int:
    return stored(word_fields(machine())[unit], {"beats": 1})


@pytest.mark.parametrize("unit", ["fetch", "send"])
def test_axi(unit):
    c = machine()
    fetches = unit == "fetch"
    component = (Fetch if fetches else Send)(c, word_fields(c)[unit])
    assert beats() == (weight_beats(c), bias_beats(c))
    layout = write_layout(c) if fetches else read_layout(c)
    bench(
        Identified(component),
        "bench_axi",
        SEED,
        fetch=int(fetches),
        latency=Crossbar.READ_LATENCY,
        layout=json.dumps({name: field.width for name, field in layout}),
        per=json.dumps(beats()),
    )
