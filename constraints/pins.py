"""Pins: where the ports of a board's top meet the package, for nextpnr."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gen.errors import UserError

from .boards import Board

__all__ = ["Pin", "clock_hz", "lpf", "pins", "platform"]


@dataclass(frozen=True)
class Pin:
    """A port of the top, its pin, and attributes by the names of the vendor's tool."""

    port: str
    pin: str
    attributes: Mapping[str, str]


def platform(board: Board) -> Any:
    """Resources of a board whose host is a UART, from ``amaranth_boards``.

    Raises
    ------
    UserError
        If the board has no UART whose pins are known.
    """
    found = board.pins()
    if ("uart", 0) not in found.resources:
        raise UserError(f"{board.name} has no UART at its FPGA; its host is {board.host}")
    return found


def clock_hz(board: Board) -> int:
    """Frequency of the board's clock."""
    return round(platform(board).default_clk_frequency)


def pins(board: Board) -> tuple[Pin, ...]:
    """Pins of the ports ``clk``, ``rx`` and ``tx``; of a differential clock the positive one."""
    found = platform(board)
    clock, uart = found.lookup(found.default_clk), found.lookup("uart", 0)
    source = clock.ios[0]
    places = {"clk": (getattr(source, "p", source), clock.attrs)}
    places |= {one.name: (one.ios[0], uart.attrs) for one in uart.ios if one.name in ("rx", "tx")}
    return tuple(Pin(port, at.names[0], dict(attrs)) for port, (at, attrs) in places.items())


def lpf(places: Sequence[Pin], clock: int) -> str:
    """Constraints for nextpnr-ecp5."""
    lines = [f'FREQUENCY PORT "clk" {clock} HZ;']
    for one in places:
        lines.append(f'LOCATE COMP "{one.port}" SITE "{one.pin}";')
        settings = " ".join(f"{name}={value}" for name, value in one.attributes.items())
        lines.append(f'IOBUF PORT "{one.port}" {settings};')
    return "\n".join(lines) + "\n"
