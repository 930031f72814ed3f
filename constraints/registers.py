"""Registers: flip-flops beside multipliers and block RAM of ECP5 move into them.

Yosys leaves the registers of MULT18X18D and DP16KD unused, and nextpnr moves none, so that a
product or a read would spend most of a short clock period on the way to its flip-flops.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["absorbed", "command"]

Bit = int | str
Cell = dict[str, Any]
_CONSTANT = ("0", "x")


class _Netlist:
    """The cells of a module, and who drives and reads each bit."""

    def __init__(self, module: dict[str, Any]):
        self.cells: dict[str, Cell] = module["cells"]
        self.drivers: dict[Bit, str] = {}
        self.readers: dict[Bit, set[tuple[str, str]]] = defaultdict(set)
        for name, port in module["ports"].items():
            if port["direction"] != "input":
                for bit in port["bits"]:
                    self.readers[bit].add(("", name))
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                for bit in bits:
                    if cell["port_directions"][port] == "input":
                        self.readers[bit].add((name, port))
                    else:
                        self.drivers[bit] = name

    def plain(self, name: str) -> Cell | None:
        """The flip-flop of that name, if it has neither enable nor reset and begins at 0."""
        cell = self.cells.get(name, {})
        if cell.get("type") != "TRELLIS_FF" or "CE" in cell["connections"]:
            return None
        is_plain = cell["connections"]["LSR"] == ["0"] and cell["parameters"]["REGSET"] == "RESET"
        return cell if is_plain and cell["parameters"]["CLKMUX"] == "CLK" else None

    def behind(self, bit: Bit) -> str | None:
        """The plain flip-flop that is all that reads a bit."""
        if len(self.readers[bit]) != 1:
            return None
        ((name, port),) = self.readers[bit]
        return name if port == "DI" and self.plain(name) else None

    def before(self, bit: Bit) -> str | None:
        """The plain flip-flop that drives a bit."""
        name = self.drivers.get(bit)
        return name if name is not None and self.plain(name) else None

    def connect(self, name: str, port: str, bit: Bit) -> None:
        """Connects an input of a cell to another bit."""
        cell = self.cells[name]
        for old in cell["connections"].get(port, ()):
            self.readers[old].discard((name, port))
        cell["connections"][port] = [bit]
        cell["port_directions"][port] = "input"
        self.readers[bit].add((name, port))

    def remove(self, name: str) -> None:
        """Takes a flip-flop away."""
        for port, bits in self.cells[name]["connections"].items():
            for bit in bits:
                self.readers[bit].discard((name, port))
        del self.cells[name]

    def take_behind(self, name: str, ports: Iterable[str]) -> Bit | None:
        """Moves the flip-flops behind all of a cell's outputs into it, if every output that is read
        has one and all have one clock; returns the clock."""
        cell = self.cells[name]
        used = [p for p in ports if p in cell["connections"]]
        used = [p for p in used if self.readers[cell["connections"][p][0]]]
        found = {port: self.behind(cell["connections"][port][0]) for port in used}
        flops = [self.cells[flop] for flop in found.values() if flop is not None]
        clocks = {flop["connections"]["CLK"][0] for flop in flops}
        if len(flops) != len(used) or len(clocks) != 1:
            return None
        for port, flop in found.items():
            assert flop is not None
            out = self.cells[flop]["connections"]["Q"][0]
            self.remove(flop)
            cell["connections"][port] = [out]
            self.drivers[out] = name
        return clocks.pop()

    def take_before(self, name: str, ports: list[str]) -> Bit | None:
        """The same of the flip-flops before a cell's inputs. Those that others read too stay."""
        cell = self.cells[name]
        used = [p for p in ports if cell["connections"][p][0] not in _CONSTANT]
        named = {port: self.before(cell["connections"][port][0]) for port in used}
        found = {port: flop for port, flop in named.items() if flop is not None}
        flops = {flop: self.cells[flop] for flop in found.values()}
        clocks = {flop["connections"]["CLK"][0] for flop in flops.values()}
        if len(found) != len(used) or len(clocks) != 1:
            return None
        for port, flop in found.items():
            self.connect(name, port, flops[flop]["connections"]["DI"][0])
        for flop, held in flops.items():
            if not self.readers[held["connections"]["Q"][0]]:
                self.remove(flop)
        return clocks.pop()


def _ports(cell: Cell, pattern: str) -> list[str]:
    return [port for port in cell["connections"] if re.fullmatch(pattern, port)]


def _block(netlist: _Netlist, name: str) -> None:
    """The output register of a block RAM, of both ports, since a wide word comes out of both."""
    cell = netlist.cells[name]
    clock = netlist.take_behind(name, _ports(cell, r"DO[AB]\d+"))
    if clock is None:
        return
    if any(cell["connections"][f"CLK{port}"] not in ([clock], ["0"]) for port in "AB"):
        raise ValueError(f"'{name}' must have one clock for its ports and what reads it")
    for port in "AB":
        cell["parameters"][f"REGMODE_{port}"] = "OUTREG"
        netlist.connect(name, f"OCE{port}", "1")


def _multiplier(netlist: _Netlist, name: str) -> None:
    """The registers of a multiplier's product, and of both its factors."""
    cell = netlist.cells[name]
    behind = netlist.take_behind(name, _ports(cell, r"P\d+"))
    factors = _ports(cell, r"[AB]\d+")
    before = netlist.take_before(name, factors) if behind is not None else None
    for kinds, clock in (("INPUTA INPUTB", before), ("OUTPUT", behind)):
        for kind in kinds.split() if clock is not None else ():
            settings = {"CLK": "CLK0", "CE": "CE0", "RST": "RST0"}
            cell["parameters"] |= {f"REG_{kind}_{k}": v for k, v in settings.items()}
    if behind is not None:
        for port, bit in (("CLK0", behind), ("CE0", "1"), ("RST0", "0")):
            netlist.connect(name, port, bit)


_MOVES: dict[str, Callable[[_Netlist, str], None]] = {"DP16KD": _block, "MULT18X18D": _multiplier}


def absorbed(design: dict[str, Any], top: str) -> dict[str, Any]:
    """A flat netlist, as Yosys writes it, with registers moved into the module ``top``'s slices.

    Changes and returns ``design``.
    """
    module = design["modules"][top]
    netlist = _Netlist(module)
    for kind, move in _MOVES.items():
        for name in [n for n, cell in netlist.cells.items() if cell["type"] == kind]:
            move(netlist, name)
    return design


def command(source: str, target: str, top: str) -> tuple[str, ...]:
    """What reads one netlist and writes the other."""
    return (sys.executable, str(Path(__file__)), source, target, top)


if __name__ == "__main__":
    source, target, name = sys.argv[1:]
    netlist = absorbed(json.loads(Path(source).read_text(encoding="utf-8")), name)
    Path(target).write_text(json.dumps(netlist), encoding="utf-8")
