"""The benchmark of silicon: what Yosys and nextpnr make of designs, as rows with targets."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from constraints.boards import board
from constraints.synth import area_of, bitstream_of, core_speed_of
from constraints.top import top
from gen.emit import component_verilog
from rtl.config import Config
from rtl.tile import Tile

from .bench import models
from .design import Design, compile

__all__ = ["Row", "rows"]

Progress = Callable[[str], None]

BOARD = "ulx3s-85f"
AIM_MHZ = 150.0
"""What nextpnr is told to aim at; it stops improving where a clock is reached."""

SEEDS = (1,)
"""Of each placement; the fastest counts."""

NNGEN: Mapping[str, float] = {
    "luts": 67_410,
    "flip_flops": 77_508,
    "multipliers": 152,
    "blocks": 148,
}
NNGEN_CYCLES = 217_113
"""Of NNgen's ResNet-8 on as many multipliers in the same flow, which takes Yosys more than an hour:
see ``benchmarks/nngen_resnet8.py``."""

SIZES: Mapping[str, Any] = {
    "rows": 1,
    "word_bytes": 16,
    "axi_bytes": 16,
    "buffer_words": (64, 64),
    "patch_words": 128,
    "weight_words": 64,
    "bias_words": 16,
    "scale_words": 16,
    "maximum": False,
}
"""Of machines of which only the tile is looked at."""


@dataclass(frozen=True)
class Row:
    """One figure: what it is, what it must be, whether it is that, and how it was made.

    ``target`` and ``ok`` are None where a figure is only told.
    """

    what: str
    value: float
    target: str | None
    ok: bool | None
    command: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def rows(
    *, full: bool, folder: Path | None = None, progress: Progress | None = None
) -> Iterator[Row]:
    """The rows, one after the other.

    Parameters
    ----------
    full
        With whole accelerators of 256 multipliers, and with place and route, which take many
        minutes.
    folder
        Where the tools work: what is finished there is not done again. A temporary one if None.

    Raises
    ------
    UserError
        If the benchmark models are absent.
    ToolError
        If a tool fails.
    """
    tell = progress or (lambda words: None)
    kept = nullcontext(folder) if folder else tempfile.TemporaryDirectory(prefix="intarsia-")
    with kept as name:
        place = Path(name)
        yield from _tiles(place, tell)
        digits = _digits(64, tell)
        yield _buffers(digits, place / "buffers", tell)
        if full:
            yield from _whole(place, tell)
            yield from _routed(digits, place, tell)
            yield from _resnet8(place, tell)


def _digits(multipliers: int, tell: Progress) -> Design:
    data = resources.files("intarsia").joinpath("data").joinpath("digits_int8.onnx")
    with resources.as_file(data) as model:
        return compile(model, multipliers=multipliers, progress=tell)


def _tile(config: Config) -> str:
    """Verilog of one tile, as the module that flows expect."""
    modules = Tile.shared(config)
    tile = modules.pop("tile")
    return component_verilog(tile, "accelerator", shared=modules)


def _tiles(folder: Path, tell: Progress) -> Iterator[Row]:
    """Products of a tile by its DSP slices."""
    narrow = Config(cols=8, depth=9, lanes=8, **SIZES)
    area = area_of(_tile(narrow), "xcup", folder / "int8", tell).area
    share = narrow.multipliers / max(1, area.multipliers)
    command = "yosys synth_xilinx -family xcup of a tile of 8 lanes and depth 9"
    yield Row("int8 products per DSP48E2 in the arrays", share, "2.0", share == 2.0, command)
    wide = Config(
        cols=8,
        depth=1,
        lanes=8,
        element_bytes=2,
        weight_bits=16,
        accumulator_bits=48,
        **SIZES,
    )
    place = folder / "int16"
    area = area_of(_tile(wide), "xc7", place, tell).area
    share = wide.multipliers / max(1, area.multipliers)
    command = "yosys synth_xilinx -family xc7 of a tile of 8 lanes and depth 1"
    yield Row("int16 products per DSP48E1 in the arrays", share, "1.0", share == 1.0, command)
    cells = json.loads((place / "cells.json").read_text())["design"]["num_cells_by_type"]
    carries = cells.get("CARRY4", 0)
    what = "carry cells beside those slices: 0, so every sum is in one"
    yield Row(what, carries, "0", carries == 0, command)


def _buffers(design: Design, folder: Path, tell: Progress) -> Row:
    """How many of the bits of buffers and weights lie in block RAM."""
    area_of(design.verilog, "xc7", folder, tell)
    log = (folder / "synthesis.log").read_text()
    found = dict(re.findall(r"^mapping memory accelerator\.(\S+) via (\S+)", log, re.MULTILINE))
    wanted = [name for name in found if re.search(r"bank_\d+$|weights_\d+\.memory$", name)]
    config = design.machine.config
    count = 2 * len(config.buffer_words) + sum(core.groups for core in config.cores)
    blocks = sum(found[name].startswith("$__XILINX_BLOCKRAM") for name in wanted)
    share = blocks / max(1, count)
    command = "intarsia synth DIGITS --tool yosys --family xc7"
    what = "share of on-chip buffers in block RAM"
    return Row(what, share, "1.0", share == 1.0, command)


def _whole(folder: Path, tell: Progress) -> Iterator[Row]:
    """A whole accelerator."""
    path, multipliers = "mlperf_tiny/ad/ad01_int8.tflite", 256
    design = compile(models() / path, multipliers=multipliers, progress=tell)
    command = "intarsia synth AD --tool yosys --family"
    area = area_of(design.verilog, "xcup", folder / "ad-xcup", tell).area
    share = round(multipliers / area.multipliers, 3)
    what = f"int8 products per DSP48E2, whole accelerator for AD, {multipliers} multipliers"
    yield Row(what, share, ">= 1.6", share >= 1.6, f"{command} xcup")
    area = area_of(design.verilog, "xc7", folder / "ad-xc7", tell).area
    each = round(area.luts / multipliers, 3)
    what = f"LUTs per multiplier, xc7, whole accelerator for AD, {multipliers} multipliers"
    yield Row(what, each, "<= 60", each <= 60, f"{command} xc7")


def _resnet8(folder: Path, tell: Progress) -> Iterator[Row]:
    """What ResNet-8 takes for as long as it runs, beside what NNgen's takes."""
    path, multipliers = "mlperf_tiny/resnet8/resnet8_int8.tflite", 144
    design = compile(models() / path, multipliers=multipliers, progress=tell)
    area = area_of(design.verilog, "xc7", folder / "resnet8-xc7", tell).area
    command, cycles = "intarsia synth RESNET8 --tool yosys --family xc7", design.prediction.cycles
    for name, theirs in NNGEN.items():
        ours = getattr(area, name)
        what = f"{name.replace('_', ' ')} of ResNet-8 on {multipliers} multipliers, xc7"
        target = f"times {cycles} cycles, less than NNgen's {theirs} times {NNGEN_CYCLES}"
        yield Row(what, ours, target, ours * cycles < theirs * NNGEN_CYCLES, command)


def _routed(digits: Design, folder: Path, tell: Progress) -> Iterator[Row]:
    """The digits on a board, and alone."""
    one = board(BOARD)
    whole = top(digits.schedule, one)
    out = bitstream_of(
        digits.verilog, whole, one, folder / "board", tell, seeds=SEEDS, clock_mhz=AIM_MHZ
    )
    fmax = out.routes[0].fmax_mhz
    command = f"intarsia synth DIGITS --tool nextpnr --board {BOARD} --clock {AIM_MHZ:g}"
    command += f" --seeds {len(SEEDS)}"
    what = "Fmax of the digits with UART shell on ULX3S-85F, bitstream written, MHz"
    written = out.bitstream is not None and out.bitstream.is_file()
    yield Row(what, round(fmax, 2), ">= 100", written and fmax >= 100, command)
    out = core_speed_of(
        digits.verilog, one.part, one.chip, folder / "core", tell, seeds=SEEDS, clock_mhz=AIM_MHZ
    )
    fmax = out.routes[0].fmax_mhz
    what = "Fmax of the same accelerator alone, out of context, MHz"
    yield Row(what, round(fmax, 2), ">= 140", fmax >= 140, f"{command} --core")
