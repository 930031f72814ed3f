"""Emission: one readable, deterministic Verilog file from an accelerator.

The only place that calls Yosys to write Verilog. Shared modules (one processing tile, one epilogue
lane) are converted once and instantiated, so the file holds no copies of them.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from amaranth import Signal, Value
from amaranth.lib import wiring

from rtl.accelerator import Accelerator
from rtl.unrolled.product import row_source

# Imported by name, since amaranth-stubs leaves this module out.
convert = import_module("amaranth.back.rtlil").convert

__all__ = ["TOP", "component_rtlil", "component_verilog", "verilog"]

TOP = "accelerator"

_HEADER = (
    "// Written by Intarsia. Generated from a schedule: change the model or the target instead.\n"
)
_UNWANTED = ("generator", "top", "keep", "full_case")
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
    always and assign assert assume begin bit buf byte case clocking config const context cover
    default disable do edge else end event final for force fork forever function generate if
    initial inout input inside int integer interface join logic module negedge new not or output
    packed parameter posedge priority process program property pulldown pullup real ref reg release
    repeat return sequence signed static string struct supply0 supply1 table task this time tri
    type union unique unsigned var void wait wand while wire with within wor xnor xor
    """,
    )
)
_NAME = re.compile(r"\\\S+")
_WIRE = re.compile(r"  wire (?:width (\d+) )?(.*?)(\\\S+)$")
_TARGET = re.compile(r" *connect \\")
_ALIAS = re.compile(r"connect (\\\S+) (\\\S+)")
_CELL = re.compile(r"  cell (\S+) (\S+)$")
_BLANK = r"  attribute \\blank 1\n"
_CONTENTS = (
    r"(  cell \$meminit_v2 .*\n    parameter \\MEMID \"{}\"\n    parameter \\ABITS .*\n"
    r"    parameter \\WIDTH (\d+)\n    parameter \\WORDS )\d+(\n(?:    .*\n)*?    connect \\DATA )"
    r"\d+'([01]+)(\n(?:    .*\n)*  end\n)"
)
_LINK = re.compile(r"    connect (\\\S+) (\\\S+)(?: \[(?:(\d+):)?(\d+)\])?$")


@dataclass
class _Module:
    """The names of one RTLIL module: width and direction of its wires, links to its cells."""

    wires: dict[str, tuple[int, str]] = field(default_factory=dict)
    cells: list[str] = field(default_factory=list)
    links: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def _plain(name: str) -> str:
    """``name`` without Amaranth's counter, as an identifier that needs no escape."""
    name = re.sub(r"\$\d+", "", name)
    name = re.sub(r"_{2,}", "_", re.sub(r"\W+", "_", name)).strip("_") or "signal"
    return f"{name}_" if name in _KEYWORDS else name


def _survey(text: str) -> dict[str, _Module]:
    modules: dict[str, _Module] = {}
    module, cell = _Module(), ("", "")
    for line in text.splitlines():
        if line.startswith("module "):
            module = modules[line.split()[1]] = _Module()
        elif found := _WIRE.match(line):
            module.wires[found[3]] = (int(found[1] or 1), found[2])
        elif found := _CELL.match(line):
            cell = (found[1], found[2].lstrip("\\"))
            module.cells.append(cell[1])
        elif (found := _LINK.match(line)) and cell[0].startswith("\\"):
            port, wire, high, low = found.groups()
            size = int(high or low or 0) + 1
            if wire in module.wires and (low is None or module.wires[wire][0] == size):
                module.links.setdefault(wire, []).append((cell[0], cell[1], port))
    return modules


def _rename(module: _Module, modules: Mapping[str, _Module]) -> None:
    """Gives each wire a name of its own: a port's, a cell's port's, or what the source says."""
    taken = set(module.cells)

    def name(wire: str, wanted: str) -> None:
        chosen, count = wanted, 2
        while chosen in taken:
            chosen, count = f"{wanted}_{count}", count + 1
        taken.add(chosen)
        module.names[wire] = f"\\{chosen}"

    def drives(link: tuple[str, str, str]) -> bool:
        inner = modules.get(link[0])
        return inner is not None and "output" in inner.wires[link[2]][1]

    ports = [wire for wire, (_, kind) in module.wires.items() if kind]
    linked = [wire for wire in module.links if wire not in ports]
    others = [wire for wire in module.wires if wire not in module.links and wire not in ports]
    for wire in sorted(ports, key=lambda wire: "$" in wire):
        name(wire, _plain(wire[1:]))
    for wire in sorted(others, key=lambda wire: _plain(wire[1:]) != wire[1:]):
        if "." not in wire and "[" not in wire:
            name(wire, _plain(wire[1:]))
    for wire in linked:
        _, cell, port = next(filter(drives, module.links[wire]), module.links[wire][0])
        name(wire, f"{_plain(cell)}_{_plain(port[1:])}")
    # Views of a structure's members go by the structure's name.
    for wire in others:
        if wire not in module.names:
            whole = re.match(r"\\[^.\[]+", wire)
            base = module.names.get(whole[0], whole[0]) if whole else wire
            name(wire, _plain(base[1:] + wire[len(whole[0]) if whole else 0 :]))


def _readable(text: str) -> str:
    """RTLIL with the same circuit, in which no name needs an escape in Verilog."""
    modules = _survey(text)
    for module in modules.values():
        _rename(module, modules)
    names: Mapping[str, str] = {}
    inner: Mapping[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        return names.get(found[0], found[0])

    lines = []
    for line in text.splitlines():
        first, _, rest = line.strip().partition(" ")
        indent = line[: len(line) - len(line.lstrip())]
        if first == "module":
            names = modules[rest].names
        elif first == "cell":
            inner = modules[kind].names if (kind := rest.split()[0]) in modules else {}
        elif first == "connect" and len(indent) == 4:
            port, _, value = rest.partition(" ")
            value = _NAME.sub(renamed, value)
            line = f"{indent}connect {inner.get(port, port)} {value}"
        elif first not in ("attribute", "parameter", "memory"):
            line = _NAME.sub(renamed, line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _without_aliases(text: str) -> str:
    """RTLIL without unread wires that only repeat what a link between cells is called already."""
    result = []
    for module in re.split(r"(?m)^(?=module )", text):
        uses, kept, linked = Counter(), set(), set()
        aliases: dict[str, str] = {}
        attributes: list[str] = []
        inner = False
        for line in module.splitlines():
            if line.startswith("  attribute"):
                attributes.append(line.split()[1])
                continue
            if found := _WIRE.match(line):
                if found[2] or r"\keep" in attributes:
                    kept.add(found[3])
            elif line.strip():
                names = _NAME.findall(line)
                uses.update(names[1:] if _TARGET.match(line) else names)
                if found := _CELL.match(line):
                    inner = found[1].startswith("\\")
                elif inner and (found := _LINK.match(line)):
                    linked.add(found[2])
                elif found := _ALIAS.match(line):
                    aliases[found[1]] = found[2]
            if line.strip():
                attributes = []
        spare = {
            alias
            for alias, wire in aliases.items()
            if wire in linked and alias not in kept and not uses[alias]
        }
        held: list[str] = []
        for line in module.splitlines(keepends=True):
            if line.startswith("  attribute"):
                held.append(line)
                continue
            found = _WIRE.match(line.rstrip()) or _ALIAS.match(line)
            name = found[3 if found.re is _WIRE else 1] if found else None
            if name not in spare:
                result += [*held, line]
            if line.strip():
                held = []
    return "".join(result)


def _without_blanks(text: str) -> str:
    """RTLIL whose memories with the attribute ``blank`` have no zeros behind their contents."""
    result = []
    for module in re.split(r"(?m)^(?=module )", text):
        blank = re.findall(rf"{_BLANK}(?:  attribute .*\n)*  memory .* (\\\S+)\n", module)
        module = re.sub(_BLANK, "", module)
        for name in blank:
            cell = _CONTENTS.format(re.escape(name.replace("\\", "\\\\")))
            module = re.sub(cell, _trimmed, module)
        result.append(module)
    return "".join(result)


def _trimmed(cell: re.Match[str]) -> str:
    """A memory's contents up to the last word that is not zero; nothing if all are."""
    width, data = int(cell[2]), cell[4].lstrip("0")
    words = -(-len(data) // width)
    if not words:
        return ""
    bits = f"{words * width}'{data.rjust(words * width, '0')}"
    return f"{cell[1]}{words}{cell[3]}{bits}{cell[5]}"


def component_rtlil(component: wiring.Component, name: str) -> str:
    """RTLIL of one component, its submodules named by their paths below ``name``.

    Members of interfaces have single underscores: ``axi_arvalid``, ``i_payload``.
    """
    ports = {}
    for path, _, value in component.signature.flatten(component):
        value = Value.cast(value)
        # A stream that is always ready has a constant there, which is no port.
        if isinstance(value, Signal):
            ports["__".join(map(str, path))] = (value, None)
    text = convert(component, name=name, ports=ports, emit_src=False)
    text = _without_blanks(text)
    text = re.sub(rf"\\{name}\.([\w.]+)", lambda found: rf"\{found[1].replace('.', '_')}", text)
    return _readable(_without_aliases(text))


def component_verilog(
    component: wiring.Component,
    name: str,
    *,
    shared: Mapping[str, wiring.Component] | None = None,
    complete: bool = True,
) -> str:
    """Verilog of one component as module ``name``; the same text every time.

    Parameters
    ----------
    component
        Not elaborated yet.
    name
        Module that becomes the top.
    shared
        Components that it instantiates by their Verilog names.
    complete
        False where it instantiates modules of other files too.

    Raises
    ------
    RuntimeError
        If Yosys fails.
    """
    parts = [component_rtlil(component, name)]
    parts += [component_rtlil(inner, inner_name) for inner_name, inner in (shared or {}).items()]
    unwanted = " ".join(f"-remove {name}" for name in _UNWANTED)
    with tempfile.TemporaryDirectory(prefix="intarsia-") as place:
        folder = Path(place)
        commands = []
        for i, part in enumerate(parts):
            (folder / f"{i}.il").write_text(part)
            commands.append(f"read_rtlil {i}.il")
        commands += [
            f"hierarchy {'-check ' if complete else ''}-top {name}",
            "proc -norom",
            "opt_expr",
            "opt_clean -purge",
            "memory_collect",
            # What is left tells other tools how to build memories and multiplexers.
            *(f"attrmap {kind} {unwanted}" for kind in ("", "-modattr")),
            "write_verilog out.v",
        ]
        (folder / "emit.ys").write_text("\n".join(commands) + "\n")
        # A process of its own keeps Yosys's log off the terminal, and its crashes away from here.
        run = "import sys, pyosys.libyosys as y; y.run_pass('script emit.ys'); sys.exit(0)"
        done = subprocess.run(
            [sys.executable, "-c", run], cwd=folder, capture_output=True, text=True, check=False
        )
        target = folder / "out.v"
        if done.returncode or not target.exists():
            raise RuntimeError(f"Yosys failed: {(done.stderr or done.stdout)[-2000:]}")
        text = target.read_text()
    return _HEADER + _shortened(text[text.index("\n") + 1 :])


def _shortened(text: str) -> str:
    """Sign extensions as ``{15{x[16]}}``, where Yosys repeats the bit."""
    return re.sub(
        r"(?<=[{,] )(\w+(?:\[\d+\])?)((?:, \1){2,})(?=,| \})",
        lambda found: f"{{{found[2].count(',') + 1}{{{found[1]}}}}}",
        text,
    )


def verilog(accelerator: Accelerator) -> str:
    """Verilog of ``accelerator``, top module :data:`TOP`; the same text every time."""
    unrolled = any(core.product_words for core in accelerator.config.cores)
    shared = accelerator.shared()
    text = component_verilog(accelerator, TOP, shared=shared, complete=not unrolled)
    return text + row_source() if unrolled else text
