"""Pads: a top between a board's buffers, in the project that Amaranth writes for Vivado."""

from collections.abc import Mapping

from amaranth import ClockSignal, Elaboratable, Instance, Module
from amaranth.lib import io

from .boards import Board
from .pins import platform

__all__ = ["NAME", "pads"]

NAME = "board"
"""The module around the top, and the stem of the project's files."""

_TIMING = """\
# The host has no clock here: the receiver synchronises rx, and tx holds a bit for many cycles.
set_input_delay 0 -clock [all_clocks] [get_ports uart_0__rx__io]
set_output_delay 0 -clock [all_clocks] [get_ports uart_0__tx__io]
set_false_path -from [get_ports uart_0__rx__io]
set_false_path -to [get_ports uart_0__tx__io]
"""


class _Pads(Elaboratable):
    """The module ``top`` with the board's clock and UART."""

    def elaborate(self, platform):
        m = Module()
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer(io.Direction.Input, uart.rx)
        m.submodules.tx = tx = io.Buffer(io.Direction.Output, uart.tx)
        m.submodules.top = Instance("top", i_clk=ClockSignal(), i_rx=rx.i, o_tx=tx.o)
        return m


def pads(sources: Mapping[str, str], board: Board) -> dict[str, str]:
    """Files of a project from Verilog to bitstream, by ``amaranth.vendor.XilinxPlatform``.

    Parameters
    ----------
    sources
        Text of each Verilog file by its name; one of them has the module ``top``, whose ports are
        ``clk``, ``rx`` and ``tx``.

    Returns
    -------
    dict
        The sources; ``board.v`` with buffers of clock and pins; ``board.xdc`` with pins, their
        standards and the clock; ``uart.xdc`` with exceptions and delays; and the script
        ``board.tcl``, which ends in ``board.bit``.
    """
    whole = platform(board)
    whole.device, _, speed = board.part.partition(whole.package)
    whole.speed = speed.removeprefix("-")
    whole.default_rst = None  # the shell resets itself
    for name, text in sources.items():
        whole.add_file(name, text)
    whole.add_file("uart.xdc", _TIMING)
    plan = whole.prepare(_Pads(), NAME)
    kept = (*sources, "uart.xdc", *(f"{NAME}.{end}" for end in ("v", "xdc", "tcl")))
    return {name: plan.files[name] for name in kept}
