"""The digits networks: unrolled whole, unrolled in a schedule, and on an array."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from constraints.synth import area_of
from gen.emit import component_verilog
from gen.frontends import load
from gen.unrolled.network import network
from rtl.unrolled.product import row_source
from sim import golden
from sim.vectors import run_vectors

from .arrays import from_file
from .design import Design, compile
from .unrolled_flows import measure

__all__ = ["DesignRow", "bench"]

_FAMILY, _FLOW = "xcup", "xcup-ternary"
_DESIGNS = (
    ("digits_4bit", "whole", 0),
    ("digits_4bit", "all", 8),
    ("digits_4bit", "none", 64),
    ("digits_mlp_int8", "none", 64),
)
"""Models of the package, what is unrolled, and multipliers of the rest."""


@dataclass(frozen=True)
class DesignRow:
    """What a network takes in one of its forms.

    ``form`` is ``whole`` where it is one circuit that takes an image a cycle, else what is unrolled
    in the schedule. LUTs, FFs and DSPs are Yosys's for UltraScale+; ``cycles`` are from an image to
    the next, ``latency`` to its digit; ``mismatches`` counts outputs in Verilator that differ from
    golden, over all ``images``.
    """

    model: str
    form: str
    luts: int
    ffs: int
    dsps: int
    blocks: float
    cycles: int
    latency: int
    accuracy: float
    images: int
    mismatches: int


def bench(images: int = 360, progress: Callable[[str], None] | None = None) -> Iterator[DesignRow]:
    """A row for each form, over so many held-out digits."""
    tell = progress or (lambda words: None)
    data = resources.files("intarsia").joinpath("data")
    with resources.as_file(data.joinpath("digits_test.npz")) as path, np.load(path) as arrays:
        # The networks take pixels up to 15, in sixteenths.
        pixels = np.minimum(arrays["images"][:images], 15 / 16).reshape(-1, 1, 64)
        labels = arrays["labels"][:images]
    for name, form, multipliers in _DESIGNS:
        tell(f"{name}, {form}")
        with resources.as_file(data.joinpath(f"{name}.onnx")) as path:
            if form == "whole":
                yield _whole(path, pixels, labels, tell)
            else:
                design = compile(path, multipliers=multipliers, unroll=form, progress=tell)
                yield _scheduled(design, path.stem, form, pixels, labels, tell)


def _accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float((outputs.reshape(len(labels), -1).argmax(axis=1) == labels).mean())


def _whole(
    path: Path, pixels: np.ndarray, labels: np.ndarray, tell: Callable[[str], None]
) -> DesignRow:
    graph = load(path)
    block = network(graph, progress=tell).component()
    source = component_verilog(block, "block", complete=False)
    given, out = block.i.shape(), block.o.shape()
    runs = from_file(graph, pixels).runs
    tell("simulating")
    y = run_vectors(
        [source, row_source()],
        np.stack([run[graph.inputs[0]].ravel() for run in runs]),
        input_bits=given.elem_shape.width,
        outputs=out.length,
        output_bits=out.elem_shape.width,
        signed=out.elem_shape.signed,
        latency=block.latency,
    )
    expected = np.stack([golden.run(graph, run)[graph.outputs[0]].ravel() for run in runs])
    tell("mapping")
    figures = measure([source, row_source()], _FLOW)
    wrong = int((y != expected).sum())
    area = figures.luts, figures.ffs, 0, 0.0
    accuracy = _accuracy(y, labels)
    return DesignRow(path.stem, "whole", *area, 1, block.latency, accuracy, len(labels), wrong)


def _scheduled(
    design: Design,
    name: str,
    form: str,
    pixels: np.ndarray,
    labels: np.ndarray,
    tell: Callable[[str], None],
) -> DesignRow:
    run = design.simulate(pixels, progress=tell)
    with tempfile.TemporaryDirectory(prefix="intarsia-") as folder:
        area = area_of(design.verilog, _FAMILY, Path(folder), tell).area
    outputs: Any = run.outputs
    accuracy = _accuracy(np.asarray(outputs), labels)
    cycles = max(run.cycles)
    counts = area.luts, area.flip_flops, area.multipliers, area.blocks
    return DesignRow(name, form, *counts, cycles, cycles, accuracy, len(labels), run.mismatches)
