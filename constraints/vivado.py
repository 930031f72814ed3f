"""Vivado: a folder with everything that it needs to make a chip of a design."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from amaranth import Signal
from amaranth.lib.wiring import Out

from gen.errors import UserError
from rtl.axi import ADDRESS_BITS, axi4, axi4_lite
from rtl.register_map import REGISTERS

from .boards import Board
from .mapping import mapped
from .pads import NAME, pads
from .steps import Step, run
from .top import Top

__all__ = ["Project", "figures", "invoke", "project"]

KERNEL_ADDRESS_BITS = 64


@dataclass(frozen=True)
class Project:
    """Text of each file by its name; ``main`` is the script that leads to the chip."""

    files: Mapping[str, str]
    main: str


@dataclass(frozen=True)
class Port:
    """A port of the wrapper, and the accelerator's port or the constant behind it."""

    bus: str
    member: str
    direction: str
    width: int
    inner: str = ""
    net: str = ""
    constant: str | None = None

    @property
    def outer(self) -> str:
        return f"{self.bus}_{self.member}"


@dataclass(frozen=True)
class Processor:
    """What a Zynq's processor is called, and how its ports are switched on."""

    vlnv: str
    rule: str
    preset: str
    master: str
    slaves: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


def _processor(board: Board, channels: int) -> Processor:
    """With its first control port and a memory port per channel."""
    preset = f'apply_board_preset "{int(bool(board.board_part))}"'
    if board.host == "ps7":
        slaves = tuple(f"S_AXI_HP{i}" for i in range(channels))
        settings = [("PCW_USE_M_AXI_GP0", "1")]
        settings += [(f"PCW_USE_S_AXI_HP{i}", "1") for i in range(channels)]
        settings.append(("PCW_FPGA0_PERIPHERAL_FREQMHZ", str(board.clock_mhz)))
        return Processor(
            "xilinx.com:ip:processing_system7",
            "xilinx.com:bd_rule:processing_system7",
            f'make_external "FIXED_IO, DDR" {preset}',
            "M_AXI_GP0",
            slaves,
            tuple(settings),
        )
    slaves = tuple(f"S_AXI_HP{i}_FPD" for i in range(channels))
    settings = [("PSU__USE__M_AXI_GP0", "1"), ("PSU__USE__M_AXI_GP1", "0")]
    settings += [(f"PSU__USE__S_AXI_GP{2 + i}", "1") for i in range(channels)]
    settings.append(("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", str(board.clock_mhz)))
    return Processor(
        "xilinx.com:ip:zynq_ultra_ps_e",
        "xilinx.com:bd_rule:zynq_ultra_ps_e",
        preset,
        "M_AXI_HPM0_FPD",
        slaves,
        tuple(settings),
    )


def _ports(names: Mapping[str, str], data_bytes: int, kernel: bool) -> tuple[Port, ...]:
    """Ports of the wrapper: the accelerator's, and those that masters must have besides."""
    ports = []
    for inner, outer in names.items():
        lite = inner == "s_axil"
        signature = axi4_lite() if lite else axi4(data_bytes)
        for name, member in signature.members.items():
            width = len(Signal(member.shape))
            net = f"{outer}_{name}"
            if kernel and not lite and name.endswith("addr"):
                width, net = KERNEL_ADDRESS_BITS, f"{net}_low"
            direction = "output" if member.flow is Out else "input"
            ports.append(Port(outer, name, direction, width, f"{inner}_{name}", net))
        if not lite:
            for channel in ("ar", "aw"):
                # Privileged and secure data; modifiable and bufferable.
                ports.append(Port(outer, f"{channel}prot", "output", 3, constant="3'b000"))
                ports.append(Port(outer, f"{channel}cache", "output", 4, constant="4'b0011"))
    return tuple(ports)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "vivado"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )


def project(
    name: str, verilog: str, board: Board, *, channels: int, data_bytes: int, whole: Top | None
) -> Project:
    """The files of a project for a board.

    Parameters
    ----------
    name
        Of the design.
    verilog
        The accelerator.
    channels, data_bytes
        Its AXI4 masters, and their width.
    whole
        The top, on a board whose host is a UART.

    Raises
    ------
    UserError
        If the board is not one of AMD's.
    """
    family = board.chip.family
    if not family.startswith("xc"):
        raise UserError(f"Vivado does not know {board.name}; use --tool nextpnr")
    kernel = board.host == "pcie"
    masters = [f"m{i:02}_axi" if kernel else f"m_axi{i}" for i in range(channels)]
    control = "s_axi_control" if kernel else "s_axil"
    names = {"s_axil": control} | {f"m_axi{i}": outer for i, outer in enumerate(masters)}
    processor = _processor(board, channels) if board.host in ("ps7", "ps8") else None
    values: dict[str, Any] = {
        "name": name,
        "title": board.title,
        "part": board.part,
        "period": 1e3 / board.clock_mhz,
        "board_part": board.board_part,
        "buses": [control, *masters],
        "clock_port": "ap_clk" if kernel else "aclk",
        "reset_port": "ap_rst_n" if kernel else "aresetn",
        "kernel": kernel,
        "ports": _ports(names, data_bytes, kernel),
        "wide": [(m, f"{c}addr", ADDRESS_BITS) for m in masters for c in ("ar", "aw")]
        if kernel
        else [],
        "address_bits": KERNEL_ADDRESS_BITS if kernel else ADDRESS_BITS,
        "data_bits": 8 * data_bytes,
        "registers": REGISTERS,
        "ps": processor,
        "memories": list(zip(masters, processor.slaves, strict=True)) if processor else [],
    }
    environment = _environment()

    def rendered(file: str) -> str:
        return environment.get_template(file).render(values)

    files = {
        "design.v": mapped(verilog, family),
        "intarsia.v": rendered("intarsia.v"),
        "component.xml": rendered("component.xml"),
        "ooc.xdc": rendered("ooc.xdc"),
        "ooc.tcl": rendered("ooc.tcl"),
        "ip.tcl": rendered("ip.tcl"),
    }
    main = "ip.tcl"
    if whole is not None:
        sources = {"design.v": files["design.v"], "top.v": whole.verilog}
        return Project(files | pads(sources, board), f"{NAME}.tcl")
    if processor is not None:
        main = "zynq.tcl"
    elif kernel:
        main = "kernel.tcl"
    files[main] = rendered(main)
    return Project(files, main)


_REPORTS = {
    "ooc.tcl": ("utilization.rpt", "timing.rpt"),
    "zynq.tcl": ("utilization.rpt", "timing.rpt"),
    f"{NAME}.tcl": (f"{NAME}_utilization_place.rpt", f"{NAME}_timing.rpt"),
}
"""What the scripts that end in a placed design report."""


def invoke(folder: Path, script: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run a script in Vivado, and read its reports.

    Raises
    ------
    UserError
        If there is no Vivado on PATH.
    ToolError
        If it fails.
    """
    if shutil.which("vivado") is None:
        raise UserError(
            f"vivado is not on PATH; the project is in '{folder}': "
            f"cd {folder} && vivado -mode batch -source {script}"
        )
    reports = _REPORTS.get(script, ())
    files = tuple(sorted(p.name for p in folder.iterdir() if p.suffix in (".v", ".xdc", ".tcl")))
    command = ("vivado", "-mode", "batch", "-nojournal", "-source", script)
    run(folder, [Step("vivado", command, files, reports, _words)], progress)
    return figures("\n".join((folder / name).read_text() for name in reports))


def _words(line: str) -> str | None:
    found = re.match(r"Command: (\w+)|\[.*\] (Launched \w+)", line)
    return (found[1] or found[2]) if found else None


_ROWS = {
    "luts": r"(?:Slice|CLB) LUTs\*?",
    "flip_flops": r"(?:Slice|CLB) Registers",
    "multipliers": r"DSPs",
    "blocks": r"Block RAM Tile",
    "ultra": r"URAM",
}


def figures(reports: str) -> dict[str, Any]:
    """What Vivado's reports say: resources, and the worst slack in nanoseconds."""
    result: dict[str, Any] = {}
    for name, row in _ROWS.items():
        if found := re.search(rf"^\| {row} +\| +([\d.]+) ", reports, re.MULTILINE):
            result[name] = float(found[1]) if "." in found[1] else int(found[1])
    if found := re.search(r"WNS\(ns\).*\n[-\s]+\n\s+(-?[\d.]+)", reports):
        result["slack_ns"] = float(found[1])
    return result
