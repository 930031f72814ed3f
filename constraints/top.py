"""Tops: what is placed on a board that has no processor, pins and all."""

from dataclasses import dataclass

from gen.emit import component_verilog
from gen.errors import UserError
from gen.schedule import Schedule
from rtl.shell import Shell
from sim.execute import memory_bytes

from .boards import Board
from .pins import clock_hz

__all__ = ["BAUD", "Top", "top"]

BAUD = 1_000_000
"""Bits a second on the UART: the bridges of all known boards take a million or more."""

LEAST = 1 << 14
"""Bytes of the smallest memory; the wires of a larger one are longer."""


@dataclass(frozen=True)
class Top:
    """Verilog of the module ``top``, which instantiates ``accelerator``, and its UART's timing."""

    verilog: str
    clock_hz: int
    divisor: int


def top(schedule: Schedule, board: Board) -> Top:
    """The top of a design on a board: an accelerator, block RAM and a UART.

    Raises
    ------
    UserError
        If the board has no UART, or the design two channels.
    """
    if schedule.channels > 1:
        raise UserError("the UART shell has one channel: compile with --channels 1")
    clock = clock_hz(board)
    shell = Shell(
        divisor=round(clock / BAUD),
        words=memory_bytes(schedule, least=LEAST) // schedule.axi_bytes,
        data_bytes=schedule.axi_bytes,
    )
    return Top(component_verilog(shell, "top", complete=False), clock, round(clock / BAUD))
