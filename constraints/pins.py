"""Pins: where the ports of a board's top meet the package, for nextpnr and for Vivado."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gen.errors import UserError

from .boards import Board

__all__ = ["Pin", "clock_hz", "lpf", "pins", "xdc"]


@dataclass(frozen=True)
class Pin:
    """A port of the top, its pin, and attributes by the names of the vendor's tool."""

    port: str
    pin: str
    attributes: Mapping[str, str]


def clock_hz(board: Board) -> int:
    """Frequency of the board's clock."""
    return round(board.pins().default_clk_frequency)


def pins(board: Board) -> tuple[Pin, ...]:
    """Pins of the ports ``clk``, ``rx`` and ``tx``; a differential clock has ``clk_n`` too.

    Raises
    ------
    UserError
        If the board has no UART whose pins are known.
    """
    platform = board.pins()
    if ("uart", 0) not in platform.resources:
        raise UserError(f"{board.name} has no UART at its FPGA; its host is {board.host}")
    clock = platform.lookup(platform.default_clk)
    uart = platform.lookup("uart", 0)
    wires = {one.name: one.ios[0].names[0] for one in uart.ios}
    common = dict(uart.attrs)
    found = [Pin(port, wires[port], common) for port in ("rx", "tx")]
    source = clock.ios[0]
    ends = {"clk": source.p, "clk_n": source.n} if hasattr(source, "p") else {"clk": source}
    return (*(Pin(port, end.names[0], dict(clock.attrs)) for port, end in ends.items()), *found)


def lpf(places: Sequence[Pin], clock: int) -> str:
    """Constraints for nextpnr-ecp5; of a differential pair, it wants the positive pin alone."""
    lines = [f'FREQUENCY PORT "clk" {clock} HZ;']
    for one in places:
        if one.port == "clk_n":
            continue
        lines.append(f'LOCATE COMP "{one.port}" SITE "{one.pin}";')
        settings = " ".join(f"{name}={value}" for name, value in one.attributes.items())
        lines.append(f'IOBUF PORT "{one.port}" {settings};')
    return "\n".join(lines) + "\n"


def xdc(places: Sequence[Pin], clock: int) -> str:
    """Constraints for Vivado: pins, clock, and wires that no clock of ours times."""
    lines = []
    for one in places:
        settings = {"PACKAGE_PIN": one.pin, **one.attributes}
        words = " ".join(f"{name} {value}" for name, value in settings.items())
        lines.append(f"set_property -dict {{ {words} }} [get_ports {{{one.port}}}]")
    lines += [
        f"create_clock -name clk -period {1e9 / clock:.3f} [get_ports {{clk}}]",
        "set_false_path -from [get_ports {rx}]",
        "set_false_path -to [get_ports {tx}]",
    ]
    return "\n".join(lines) + "\n"
