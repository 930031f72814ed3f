"""The driver over PYNQ, against a stand-in whose fabric is the design in Verilator.

The stand-in has what PYNQ's API says of ``Overlay``, ``MMIO`` and ``allocate``, and a cache: the
processor sees what the fabric wrote only after ``invalidate``, the fabric the other way only after
``flush``.
"""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import intarsia
from gen.emit import verilog
from gen.errors import UserError
from intarsia.driver import Driver
from rtl.register_map import register
from sim.verilator import Script, build

BASE = 0x10000
"""Physical address of what is allocated."""

CONTROL = register("CONTROL")


class Buffer(np.ndarray):
    """Memory as the processor's cache has it; ``shared`` is what the fabric sees."""

    physical_address = BASE
    shared: np.ndarray

    def flush(self) -> None:
        self.shared[:] = self

    def invalidate(self) -> None:
        self[:] = self.shared


class Fabric:
    """The design in Verilator, behind registers; each start is a simulation of its own."""

    def __init__(self, design: intarsia.Design):
        size, wide = 2 * BASE, design.schedule.axi_bytes
        source = verilog(design.machine.accelerator())
        self._simulator = build(source, channels=1, data_bytes=wide, memory_bytes=size)
        self._writes: list[tuple[int, int]] = []
        self._said: dict[int, int] = {}
        self.buffer: Any = None

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Buffer:
        rng = np.random.default_rng(1)
        self.buffer = rng.integers(0, 256, shape).astype(dtype).view(Buffer)
        self.buffer.shared = rng.integers(0, 256, shape).astype(dtype)
        assert self.buffer.nbytes <= BASE
        return self.buffer

    def write(self, offset: int, value: int) -> None:
        if offset == CONTROL.offset:
            assert value == CONTROL.mask("START")
            self._run()
        else:
            self._writes.append((offset, value))

    def read(self, offset: int) -> int:
        if offset not in self._said:
            (answer,) = self._simulator.run(Script().reset().read(offset))
            return answer["data"]
        return self._said[offset]

    def _run(self) -> None:
        script = Script().reset().seed(7)
        for offset, value in self._writes:
            script.write(offset, value)
        shared = self.buffer.shared
        script.load(BASE, shared).run(100_000).store(BASE, shared.nbytes)
        watched = [register(name).offset for name in ("STATUS", "CYCLES")]
        for offset in watched:
            script.read(offset)
        _, stored, *answers = self._simulator.run(script)
        shared[:] = stored["data"]
        self._said = {at: one["data"] for at, one in zip(watched, answers, strict=True)}


def test_the_driver_over_pynq_predicts_what_the_design_does(design, folder, monkeypatch):
    fabric = Fabric(design)
    overlay = SimpleNamespace(accelerator_0=SimpleNamespace(mmio=fabric))
    loaded: list[str] = []
    stand_in = SimpleNamespace(
        Overlay=lambda file: loaded.append(file) or overlay, allocate=fabric.allocate
    )
    monkeypatch.setitem(sys.modules, "pynq", stand_in)
    x = np.random.default_rng(4).integers(-128, 128, (2, 1, 6, 6, 2), dtype=np.int8)
    driver = Driver.pynq(folder, "design.bit")
    assert loaded == ["design.bit"]
    assert (driver.predict(x) == design.predict(x)).all()
    assert driver.cycles > 0


def test_without_pynq_the_driver_says_where_it_belongs(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(UserError, match="pynq is missing: run this on a PYNQ board"):
        Driver.pynq(folder, "design.bit")
