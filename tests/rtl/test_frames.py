from typing import Any, ClassVar

from amaranth import Module
from amaranth.lib import wiring

from rtl.frames import Deframer, Framer
from tests.rtl.blocks import bench

DEPTH = 24


class Frames(wiring.Component):
    """Both directions of the line, side by side. Some names are words of Verilog."""

    NAMES: ClassVar = {"byte": "arrived", "release": "done"}

    i: Any
    o: Any

    def __init__(self):
        self._framer, self._deframer = Framer(), Deframer(DEPTH)
        units = (self._framer, self._deframer)
        super().__init__(
            {
                self.NAMES.get(name, name): member
                for unit in units
                for name, member in unit.signature.members.items()
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.framer, m.submodules.deframer = self._framer, self._deframer
        for unit in (self._framer, self._deframer):
            for name, member in unit.signature.members.items():
                inner, outer = getattr(unit, name), getattr(self, self.NAMES.get(name, name))
                if member.is_signature:
                    wiring.connect(m, wiring.flipped(outer), inner)
                elif member.flow is wiring.In:
                    m.d.comb += inner.eq(outer)
                else:
                    m.d.comb += outer.eq(inner)
        return m


def test_frames_are_those_of_rfc_1055_with_a_crc():
    bench(Frames(), "bench_frames", 11, depth=DEPTH)
