from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.loader import Loader
from rtl.register_map import VERSION
from rtl.registers import Registers
from tests.rtl.bench_registers import WIDTHS
from tests.rtl.blocks import bench


class Host(wiring.Component):
    """Register file and loader as the accelerator joins them, and a count of cycles."""

    axi: Any
    cycle: Signal

    def __init__(self):
        self._registers, self._loader = Registers(), Loader(WIDTHS)
        members, loads = self._registers.signature.members, self._loader.signature.members
        self._names = ("start", "finished", "stalled", "failed", "regions")
        self._loads = ("index", "word", *(f"enable_{name}" for name in WIDTHS))
        super().__init__(
            {name: members[name] for name in ("axi", *self._names)}
            | {name: loads[name] for name in self._loads}
            | {"cycle": Out(32)}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers, m.submodules.loader = registers, loader = (
            self._registers,
            self._loader,
        )
        wiring.connect(m, wiring.flipped(self.axi), registers.axi)
        for unit, names in ((registers, self._names), (loader, self._loads)):
            for name in names:
                inner, outer = getattr(unit, name), getattr(self, name)
                inward = self.signature.members[name].flow == In
                m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        m.d.comb += [
            loader.select.eq(registers.load_select),
            loader.indexed.eq(registers.load_indexed),
            loader.strobe.eq(registers.load_strobe),
            loader.value.eq(registers.load_data),
        ]
        m.d.sync += self.cycle.eq(self.cycle + 1)
        return m


def test_registers_and_loader():
    bench(Host(), "bench_registers", 10, version=VERSION)
