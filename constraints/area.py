"""Area: what a netlist that Yosys has mapped needs of an FPGA."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gen.errors import UserError

from .boards import Board
from .parts import FAMILIES
from .steps import Step

__all__ = ["MAPPED", "Area", "fit", "modules", "synthesis", "yosys"]

MAPPED = "mapped.json"
"""The netlist that Yosys writes."""

_LUTS = {"INV": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4, "SRL16E": 1, "SRLC32E": 1, "LUT6_2": 1}
_BLOCKS = {"RAMB18E1": 1, "RAMB36E1": 2, "RAMB18E2": 1, "RAMB36E2": 2, "DP16KD": 2}
_FLIP_FLOPS = re.compile(r"FD[RSCP]E$|TRELLIS_FF$")
_MULTIPLIERS = ("DSP48E1", "DSP48E2", "MULT18X18D")
_LUT_RAM = re.compile(r"RAM(\d+)[MXDS](\d*)")


@dataclass(frozen=True)
class Area:
    """Resources of a netlist, by the names that :class:`constraints.parts.Part` has for them.

    ``luts`` counts all that occupies one: logic, inverters, carry cells of ECP5, memory
    (``luts_memory`` of them) and shift registers. ``blocks`` are of the family's size, so a 36 Kbit
    block may hold two halves.
    """

    luts: int
    luts_memory: int
    flip_flops: int
    multipliers: int
    blocks: float
    ultra: int

    def __add__(self, other: "Area") -> "Area":
        names = self.__dataclass_fields__
        return Area(**{n: getattr(self, n) + getattr(other, n) for n in names})

    @classmethod
    def of(cls, cells: Mapping[str, int]) -> "Area":
        """Counts the primitives of a netlist, by type."""
        memory = sum(n * _memory_luts(kind) for kind, n in cells.items())
        logic = sum(n for kind, n in cells.items() if re.fullmatch(r"LUT\d", kind))
        other = sum(n * _LUTS.get(kind, 0) for kind, n in cells.items())
        return cls(
            luts=logic + other + (memory if not cells.get("TRELLIS_DPR16X4") else 0),
            luts_memory=memory,
            flip_flops=sum(n for kind, n in cells.items() if _FLIP_FLOPS.match(kind)),
            multipliers=sum(cells.get(kind, 0) for kind in _MULTIPLIERS),
            blocks=sum(n * _BLOCKS.get(kind, 0) for kind, n in cells.items()) / 2,
            ultra=cells.get("URAM288", 0),
        )


def _memory_luts(kind: str) -> int:
    """Lookup tables that a distributed memory occupies."""
    if kind == "TRELLIS_DPR16X4":
        return 4
    known = {"RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8}
    if kind in known:
        return known[kind]
    if found := re.fullmatch(r"RAM(\d+)X1([SD])", kind):
        return max(1, int(found[1]) // 64) * (2 if found[2] == "D" else 1)
    if _LUT_RAM.match(kind) and not kind.startswith("RAMB"):
        raise ValueError(f"how many lookup tables '{kind}' takes is not known")
    return 0


def yosys(script: str) -> tuple[str, ...]:
    """The command that runs a script in a Yosys of its own."""
    code = f"import sys, pyosys.libyosys as y; y.run_pass('script {script}'); sys.exit(0)"
    return (sys.executable, "-u", "-c", code)


def synthesis(
    sources: tuple[str, ...], family: str, *, top: str, netlist: bool
) -> tuple[str, Step]:
    """A Yosys script named ``synth.ys``, and the step that runs it.

    The step writes ``cells.json``, and the netlist :data:`MAPPED` if wanted.
    """
    command, define = f"{FAMILIES[family].synth} -top {top}", ""
    if family.startswith("xc"):
        command += " -noiopad -flatten"
        define = "-DINTARSIA_XILINX "  # rows of unrolled products as primitives
    outputs = ("cells.json",)
    if netlist:
        command += f" -json {MAPPED}"
        outputs += (MAPPED,)
    lines = [
        f"read_verilog {define}{' '.join(sources)}",
        command,
        "tee -q -o cells.json stat -json",
    ]
    step = Step("synthesis", yosys("synth.ys"), (*sources, "synth.ys"), outputs, _passes())
    return "\n".join(lines) + "\n", step


_LABELS = {
    "SYNTH": "elaborating",
    "MEMORY_LIBMAP": "mapping memories",
    "ABC9": "mapping logic",
    "ABC": "mapping logic",
    "TECHMAP": "mapping to primitives",
}


def _passes() -> Callable[[str], str | None]:
    last: list[str] = []

    def words(line: str) -> str | None:
        found = re.match(r"[\d.]+ Executing (\w+) pass", line)
        label = _LABELS.get(found[1]) if found else None
        if label is None or label in last:
            return None
        last.append(label)
        return label

    return words


def modules(statistics: Mapping[str, Any]) -> tuple[Area, dict[str, Area]]:
    """The area of the whole, and of each module with all of its instances but without submodules.

    Parameters
    ----------
    statistics
        What Yosys's ``stat -json`` wrote.
    """
    kinds = {n.removeprefix("\\"): m["num_cells_by_type"] for n, m in statistics["modules"].items()}
    design = statistics["design"]["num_cells_by_type"]
    own = {name: Area.of(cells) for name, cells in kinds.items()}
    return Area.of(design), own


def fit(area: Area, board: Board) -> None:
    """Refuse what does not fit the board's part.

    Raises
    ------
    UserError
        Naming the resource, by how much it is exceeded, and what would help.
    """
    chip = board.chip
    share = chip.multipliers / max(1, area.multipliers)
    advice = {
        "multipliers": f"compile with at most {share:.0%} of the --multipliers",
        "blocks": "compile with a smaller --onchip, so that weights are streamed",
        "luts": "compile with fewer --multipliers, which takes fewer lanes too",
    }
    for name, words in advice.items():
        needed, has = getattr(area, name), getattr(chip, name)
        if needed > has:
            raise UserError(
                f"the design does not fit {board.name}: it needs {needed:,.0f} {name} "
                f"of {has:,}, {needed - has:,.0f} too many; {words}"
            )
