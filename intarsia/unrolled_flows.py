"""What tools make of an unrolled layer: look-up tables, registers, carries, clock."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from constraints.area import yosys
from constraints.nextpnr import NETLIST, result, route, trimmed
from constraints.parts import PARTS
from constraints.steps import Step, run
from gen.errors import UserError

__all__ = [
    "FLOWS",
    "MODEL",
    "ROOM",
    "ROUTED",
    "Figures",
    "hosting",
    "measure",
    "operands_of",
    "vtr_files",
]

PART = "LFE5U-85F-6BG381C"
CLOCK_MHZ = 250.0
"""What nextpnr is told to aim at."""

WANTED_MHZ = 200.0
ATTEMPTS = (("static", 1), ("static", 2), ("heap", 1), ("heap", 2))
"""Placers and seeds, of which the fastest result counts; none is tried after one that reaches what
is wanted. Where a chip is nearly full, heap takes many times as long as static."""

ROOM = 4 * PARTS[PART].luts // 5
"""Flip-flops that a chip is filled with at most; it has one behind each table. The placers come to
no end with many more."""

_SUM = "narrow_sum.v"
_XCUP = "synth_xilinx -family xcup -nodsp -noiopad -noclkbuf -top block"
_ECP5 = f"techmap -map {_SUM}; synth_ecp5 -nodsp -nowidelut -top block"
_SYNTHESIS = {
    "xcup": _XCUP,
    "xcup-ternary": _XCUP,
    "ecp5": _ECP5,
    "ecp5-fmax": _ECP5,
    **{f"lut{k}": f"synth -flatten -top block; abc -lut {k}; opt_clean" for k in range(3, 7)},
}
MODEL, ROUTED = "model", "ecp5-fmax"
FLOWS = (*_SYNTHESIS, MODEL)
"""Flows by name. ``xcup-ternary`` maps rows to LUT6_2 and CARRY4, ``ecp5-fmax`` also routes.
``model`` runs no tool: it counts the tables of ``xcup-ternary`` as the search does."""


@dataclass(frozen=True)
class Figures:
    """Counted in the mapped netlist; ``carries`` are CARRY4 or CCU2C, whose tables count in LUTs.

    ``fmax_mhz`` is None where the flow does not route.
    """

    luts: int
    ffs: int
    carries: int
    fmax_mhz: float | None


def operands_of(flow: str) -> int:
    """Operands that a row may have in a flow."""
    if flow not in FLOWS:
        raise UserError(f"no flow is called '{flow}'; there are {', '.join(FLOWS)}")
    return 3 if flow in ("xcup-ternary", MODEL) else 2


def hosting(flow: str) -> bool:
    """Whether a flow has tables of six inputs before a carry chain, and puts other logic there."""
    return flow == "xcup"


def _count(cells: dict[str, int]) -> Figures:
    luts = {f"LUT{k}": 1 for k in range(1, 7)}
    # A carry cell of ECP5 is two tables; shift registers and multiplexers take tables too.
    luts |= {"LUT6_2": 1, "INV": 1, "CCU2C": 2, "SRL16E": 1, "SRLC32E": 1, "$lut": 1}
    registers = {"FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF"}
    return Figures(
        sum(luts.get(kind, 0) * n for kind, n in cells.items()),
        sum(n for kind, n in cells.items() if kind in registers or kind.startswith("$_DFF")),
        cells.get("CARRY4", 0) + cells.get("CCU2C", 0),
        None,
    )


def measure(sources: list[str], flow: str, *, kept: Sequence[str] = ()) -> Figures:
    """Maps module ``block``; rows stay modules until their adders are carry chains.

    Parameters
    ----------
    sources
        Verilog.
    flow
        One of :data:`FLOWS`, but not the model.
    kept
        Modules that are mapped on their own and counted as often as they are there; those that are
        routed are not.

    Raises
    ------
    ToolError
        If Yosys or nextpnr fails.
    """
    define = "-DINTARSIA_XILINX" if operands_of(flow) == 3 else ""
    names = [f"source{k}.v" for k in range(len(sources))]
    lines = [
        *(f"read_verilog {define} -sv {name}" for name in names),
        "hierarchy -top block",  # without -check: primitives are not read before their flow does
        *(f"setattr -mod -set keep_hierarchy 1 {name}" for name in kept if flow != ROUTED),
        *("proc", "opt_expr", "opt_clean", "alumacc", "opt", "flatten"),
        *_SYNTHESIS[flow].split("; "),
        *(("setattr -mod -unset keep_hierarchy *", "flatten") if flow == ROUTED else ()),
        "tee -q -o cells.json stat -json",
    ]
    outputs = ["cells.json"]
    if flow == ROUTED:
        lines.append(f"write_json {NETLIST}")
        outputs.append(NETLIST)
    with tempfile.TemporaryDirectory(prefix="intarsia-") as place:
        folder = Path(place)
        for name, text in zip(names, sources, strict=True):
            (folder / name).write_text(text)
        (folder / _SUM).write_text(resources.files("constraints").joinpath(_SUM).read_text())
        (folder / "synth.ys").write_text("\n".join(lines) + "\n")
        inputs = (*names, _SUM, "synth.ys")
        synthesis = Step("synthesis", yosys("synth.ys"), inputs, tuple(outputs))
        run(folder, [synthesis], lambda words: None)
        cells = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
        figures = _count(cells)
        if flow != ROUTED:
            return figures
        netlist = folder / NETLIST
        netlist.write_text(trimmed(netlist.read_text()))
        fastest = 0.0
        for placer, seed in ATTEMPTS:
            step = route(
                PART, seed=seed, clock_mhz=CLOCK_MHZ, pins=None, placer=placer, clock_pin=True
            )
            run(folder, [step], lambda words: None)
            routed = result(seed, json.loads((folder / f"route-{seed}.json").read_text()))
            fastest = max(fastest, routed.fmax_mhz)
            if fastest >= WANTED_MHZ:
                break
        return Figures(figures.luts, figures.ffs, figures.carries, round(fastest, 1))


def vtr_files(sources: list[str], folder: Path, name: str) -> None:
    """Writes a design for VTR and others: ``<name>.v``, and ``<name>.blif`` of 6-input tables."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.v").write_text("\n".join(sources))
    lines = [
        f"read_verilog -sv {name}.v",
        "hierarchy -check -top block",
        *("synth -flatten -top block", "abc -lut 6", "opt_clean"),
        f"write_blif {name}.blif",
    ]
    with tempfile.TemporaryDirectory(prefix="intarsia-") as place:
        work = Path(place)
        (work / f"{name}.v").write_text("\n".join(sources))
        (work / "synth.ys").write_text("\n".join(lines) + "\n")
        files = (f"{name}.v", "synth.ys")
        step = Step("synthesis", yosys("synth.ys"), files, (f"{name}.blif",))
        run(work, [step], lambda words: None)
        (folder / f"{name}.blif").write_text((work / f"{name}.blif").read_text())
