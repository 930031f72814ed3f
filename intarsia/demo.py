"""The demonstration: handwritten digits, from the model file to cycles of RTL."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from .design import Design, Simulation, compile
from .layers import Layer, layers

__all__ = ["Demo", "demo", "free_folder"]

MULTIPLIERS = 64


@dataclass(frozen=True)
class Demo:
    """What came out; accuracies are shares of ``digits`` held-out images."""

    design: Design
    simulation: Simulation
    folder: Path
    waves: Path
    report: Path
    layers: tuple[Layer, ...]
    digits: int
    accuracy: float
    float_accuracy: float


def free_folder(name: str) -> Path:
    """``name``, or with the first number behind it that is free."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}")
    return path


def demo(folder: Path, digits: int, progress: Callable[[str], None]) -> Demo:
    """Compile the bundled model, simulate it on held-out digits, and write everything.

    Raises
    ------
    UserError
        If ``folder`` exists or the machine has no compiler.
    """
    data = resources.files("intarsia").joinpath("data")
    with (
        resources.as_file(data.joinpath("digits_int8.onnx")) as model,
        resources.as_file(data.joinpath("digits_test.npz")) as test,
    ):
        design = compile(model, multipliers=MULTIPLIERS, progress=progress)
        with np.load(test, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
            said = arrays["float_predictions"]
    count = min(digits, len(images))
    progress("emitting Verilog")
    design.write(folder)
    with tempfile.TemporaryDirectory(prefix="intarsia-") as name:
        waves, stores = Path(name, "waves.fst"), Path(name, "stores")
        simulation = design.simulate(images[:count], waves=waves, stores=stores, progress=progress)
        run = simulation.runs[0]
        measured = layers(design.schedule, design.prediction, stores, run.start, run.cycles)
        rows = tuple(measured)
        kept = folder / waves.name
        kept.write_bytes(waves.read_bytes())
    progress("writing the report")
    guesses = np.asarray(simulation.outputs).argmax(axis=1)
    return Demo(
        design=design,
        simulation=simulation,
        folder=folder,
        waves=kept,
        report=design.report(folder, {row.name: row.measured for row in rows}),
        layers=rows,
        digits=count,
        accuracy=float((guesses == labels[:count]).mean()),
        float_accuracy=float((said[:count] == labels[:count]).mean()),
    )
