"""The folder of a design: what is written, and how it is read back."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gen import serial
from gen.errors import UserError
from gen.graph import Graph
from gen.machine import wrapped
from gen.operation import Geometry
from gen.registers import c_header
from gen.schedule import Schedule
from gen.target import Target
from gen.timing import Prediction
from rtl.accelerator import Accelerator
from rtl.config import numbered
from rtl.register_map import REGISTERS

if TYPE_CHECKING:
    from .design import Design

__all__ = ["read_folder", "refuse_existing", "write_folder"]

_PARTS = {"graph": Graph, "target": Target, "schedule": Schedule, "prediction": Prediction}

_README = """\
{name}: an accelerator made by Intarsia

  design.v                  the circuit, plain Verilog; top module "accelerator"
  schedule.json, .npz       phases, buffers, transfers and tokens, with all constants
  prediction.json           predicted cycles, in all and of each unit ({cycles} from start to done)
  program.json              the words of each unit: fields, values, and as packed bits
  intarsia.h                the register map for C
  memory.json               registers, and where inputs and outputs lie off chip
  images/*.hex              contents of the constant memories, a word a line ($readmemh)
  images/stream.bin         bytes of the weight region off chip; only where weights are streamed
  graph.json, .npz          the model as integers: tensors, tasks, weights
  target.json               the budget that it was compiled for

  multipliers {multipliers}: rows x columns x depth {arrays}
  on chip     {onchip} bytes of buffers and weights
  schedule    in {memory}

Simulate:  intarsia simulate {folder}
Report:    intarsia report {folder}
Python:    intarsia.load("{folder}")
"""


def refuse_existing(folder: Path) -> None:
    """Raise :class:`UserError` if ``folder`` exists or has no folder to lie in."""
    if os.path.lexists(folder):
        raise UserError(f"'{folder}' exists; give another folder, or remove it first")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"cannot write '{folder}': '{folder.parent}' is not a folder")


def write_folder(design: "Design", folder: Path) -> None:
    """Write ``design`` beside ``folder``, and rename it when complete."""
    refuse_existing(folder)
    source = design.verilog
    try:
        made = tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent)
        partial = Path(made)
        try:
            partial.chmod(0o755)
            _fill(design, source, partial, folder)
            refuse_existing(folder)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write '{folder}': {error.strerror or error}") from error


def _fill(design: "Design", source: str, partial: Path, folder: Path) -> None:
    for name in _PARTS:
        serial.save(getattr(design, name), partial / f"{name}.json")
    (partial / "design.v").write_text(source, encoding="utf-8")
    (partial / "intarsia.h").write_text(c_header(), encoding="utf-8")
    (partial / "program.json").write_text(serial.text(_words(design)) + "\n")
    (partial / "memory.json").write_text(serial.text(_memory_map(design)) + "\n")
    images = partial / "images"
    images.mkdir()
    for name, (words, bits) in _images(design).items():
        digits = -(-bits // 4)
        listing = "".join(f"{word:0{digits}x}\n" for word in words)
        (images / f"{name}.hex").write_text(listing)
    if design.program.stream_bytes:
        design.program.stream.tofile(images / "stream.bin")
    cores = [plan.geometry for plan in design.schedule.cores]
    about = _README.format(
        name=design.graph.name,
        cycles=design.prediction.cycles,
        multipliers=sum(g.multipliers for g in cores),
        arrays=", ".join(map(_array, cores)),
        onchip=design.schedule.onchip_bytes,
        memory=design.target.memory.upper(),
        folder=folder,
    )
    (partial / "README.txt").write_text(about, encoding="utf-8")


def _array(g: Geometry) -> str:
    """A core in a few words."""
    kind = "unrolled, words of" if g.unrolled else f"{g.rows} x {g.cols} x"
    return f"{kind} {g.depth} ({g.lanes} lanes)"


def _words(design: "Design") -> dict[str, Any]:
    """Each unit's program, as fields and as bits."""
    fields, result = design.machine.fields, {}
    program = design.machine.program or design.program
    listings = wrapped(program, design.machine.config)
    for unit in design.machine.config.units:
        widths = {name: f.width for name, f in fields[unit].items() if f.constant is None}
        fixed = {name: f.constant for name, f in fields[unit].items() if f.constant is not None}
        packed = [f"{fields[unit].pack(word):x}" for word in listings[unit]]
        result[unit] = {
            "bits": widths,
            "constant": fixed,
            "words": [{n: word[n] for n in widths} for word in listings[unit]],
            "packed": packed,
        }
    return result


def _images(design: "Design") -> dict[str, tuple[list[int], int]]:
    """Words of each constant memory, and their width in bits."""
    machine, images = design.machine, {}
    widths = Accelerator.load_widths(machine.config, machine.fields)
    for core, c in enumerate(design.program.constants):
        memories = {
            "weights": c.weights,
            "bias": c.biases,
            "scale": c.scales,
            "table": c.tables,
            "exponent": c.exponent_words,
        }
        for memory, words in memories.items():
            name = numbered(memory, core)
            images |= {name: (words, widths[name])} if words else {}
    return images


def _memory_map(design: "Design") -> dict[str, Any]:
    schedule, graph = design.schedule, design.graph
    regions = ("inputs", "outputs", "weights", "spills")

    def tensor(name: str) -> dict[str, Any]:
        t = graph.tensors[name]
        return {
            "offset": schedule.offchip[name],
            "bytes": t.bytes,
            "type": str(t.dtype),
            "shape": list(t.shape),
            "scale": t.scale,
            "zero_point": t.zero_point,
        }

    return {
        "registers": {one.name: f"0x{one.offset:02x}" for one in REGISTERS},
        "region_bytes": dict(zip(regions, schedule.region_bytes, strict=True)),
        "inputs": {name: tensor(name) for name in graph.inputs},
        "outputs": {name: tensor(name) for name in graph.outputs},
    }


def read_folder(folder: Path) -> dict[str, Any]:
    """Members of the design in ``folder``.

    Raises
    ------
    UserError
        If a file is absent or damaged.
    """
    if not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder; make one with: intarsia compile MODEL -o DIR")
    absent = [f"{name}.json" for name in _PARTS if not (folder / f"{name}.json").is_file()]
    absent += [] if (folder / "design.v").is_file() else ["design.v"]
    if absent:
        raise UserError(
            f"'{folder}' is not a compiled design: {absent[0]} is missing; "
            "make one with: intarsia compile MODEL -o DIR"
        )
    parts: dict[str, Any] = {n: serial.load(folder / f"{n}.json", k) for n, k in _PARTS.items()}
    try:
        parts["source"] = (folder / "design.v").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read '{folder / 'design.v'}': {error}") from error
    return parts
