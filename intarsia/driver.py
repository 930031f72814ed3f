"""Driver: a design on a chip, or in a running simulation, as a function of arrays."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from constraints.boards import board as board_named
from constraints.top import BAUD, top
from gen.errors import ToolError, UserError
from rtl.register_map import VERSION, register
from sim import uart
from sim.execute import memory_bytes, regions

from .arrays import Arrays, from_file, to_file
from .design import Design, load
from .links import Link, PynqLink, SerialLink

__all__ = ["Driver"]


class Driver:
    """Runs a design wherever it is.

    >>> driver = Driver.serial("build", "/dev/ttyUSB0")     # doctest: +SKIP
    >>> driver.predict(images)                              # doctest: +SKIP

    Parameters
    ----------
    design
        What is on the chip.
    link
        How to reach it.
    base
        Where the memory begins that the design may use.
    patience
        Seconds that a run may take.

    Raises
    ------
    UserError
        If another register map answers than this package knows.
    """

    def __init__(self, design: Design, link: Link, *, base: int = 0, patience: float = 60.0):
        self.design, self.link, self._patience = design, link, patience
        said = link.read_register(register("VERSION").offset)
        if said >> 16 != VERSION >> 16:
            raise UserError(
                f"the design answers with version {said:#010x} of the register map; "
                f"this package knows {VERSION:#010x}"
            )
        self._bases = [base + region for region in regions(design.schedule)]
        for offset, region in zip(register("REGION").offsets, self._bases, strict=True):
            link.write_register(offset, region)
        if design.program.stream_bytes:
            link.write(self._bases[2], design.program.stream.tobytes())
        if design.machine.program is None:
            self._load()
        self.cycles = 0
        """Of the last run."""

    @classmethod
    def serial(cls, folder: str | os.PathLike[str], port: str, *, baud: int = BAUD) -> "Driver":
        """The design of ``folder`` behind the UART shell at a serial port."""
        return cls(load(folder), SerialLink(port, baud=baud))

    @classmethod
    def pynq(cls, folder: str | os.PathLike[str], overlay: Any) -> "Driver":
        """The design of ``folder`` in the fabric of a Zynq that runs PYNQ."""
        design = load(folder)
        link = PynqLink(overlay, memory_bytes(design.schedule))
        return cls(design, link, base=link.base)

    @classmethod
    @contextmanager
    def simulation(
        cls,
        design: Design,
        *,
        board: str = "ulx3s-85f",
        noise: uart.Noise | None = None,
        timeout: float = 1.0,
        attempts: int = 40,
        progress: Callable[[str], None] | None = None,
    ) -> Iterator["Driver"]:
        """The very top that is placed on ``board``, in Verilator, at a pseudo-terminal."""
        whole = top(design.schedule, board_named(board))
        simulator = uart.build(whole.verilog, design.verilog, progress=progress)
        with uart.running(simulator, whole.divisor, noise) as terminal:
            link = SerialLink(terminal, baud=115200, timeout=timeout, attempts=attempts)
            try:
                yield cls(design, link)
            finally:
                link.close()

    def _load(self) -> None:
        """Fills the memories of a machine whose schedule and constants are RAM."""
        names = ("LOAD_SELECT", "LOAD_INDEX", "LOAD_DATA")
        select, index, data = (register(name).offset for name in names)
        for place, first, values in self.design.machine.load(self.design.program):
            self.link.write_register(select, int(place))
            self.link.write_register(index, int(first))
            for value in values:
                self.link.write_register(data, int(value))

    def predict(self, x: Arrays) -> Any:
        """The outputs of the design, in the form of :meth:`intarsia.Design.predict`.

        Raises
        ------
        UserError
            If ``x`` does not suit the model, or the link is lost.
        ToolError
            If a run fails or does not end.
        """
        graph = self.design.graph
        batch = from_file(graph, x)
        return to_file(graph, batch, [self._run(one) for one in batch.runs])

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        graph, schedule, link = self.design.graph, self.design.schedule, self.link
        for name in graph.inputs:
            address = self._bases[0] + schedule.offchip[name]
            link.write(address, np.ascontiguousarray(inputs[name]).tobytes())
        control, status = register("CONTROL"), register("STATUS")
        link.write_register(control.offset, control.mask("START"))
        end = time.monotonic() + self._patience
        while not (state := link.read_register(status.offset)) & status.mask("DONE"):
            if time.monotonic() > end:
                raise ToolError(f"the design is not done after {self._patience:g} seconds")
        if state & status.mask("ERROR"):
            raise ToolError("the design met an AXI error; is its memory large enough?")
        self.cycles = link.read_register(register("CYCLES").offset)
        outputs = {}
        for name in graph.outputs:
            tensor = graph.tensors[name]
            data = link.read(self._bases[1] + schedule.offchip[name], tensor.size)
            outputs[name] = np.frombuffer(data, np.int8).reshape(tensor.shape)
        return outputs
