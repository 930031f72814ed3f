"""Benchmarks on real models: cycles, efficiency and exactness of RTL, as rows of figures."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np

from gen.bound import compulsory_bytes, roofline
from gen.errors import UserError
from gen.multipliers import count
from gen.target import Target

from .design import compile

__all__ = ["NAMES", "bench", "models"]

Row = dict[str, Any]


@dataclass(frozen=True)
class _Workload:
    model: str
    inputs: str
    shape: tuple[int, ...]
    most: int
    targets: tuple[Target, ...]


_RESNET8 = _Workload(
    model="mlperf_tiny/resnet8/resnet8_int8.tflite",
    inputs="mlperf_tiny/resnet8/quant_*.dat",
    shape=(1, 32, 32, 3),
    most=10,
    targets=(Target(multipliers=144), Target(multipliers=36)),
)
_AD = _Workload(
    model="mlperf_tiny/ad/ad01_int8.tflite",
    inputs="mlperf_tiny/ad/quant_*.dat",
    shape=(1, 640),
    most=24,
    targets=(Target(multipliers=144),),
)
_AD_OFFCHIP = _Workload(
    model=_AD.model,
    inputs=_AD.inputs,
    shape=_AD.shape,
    most=_AD.most,
    targets=(Target(multipliers=144, onchip_bytes=64 * 1024, offchip_bytes_per_cycle=16),),
)
_WORKLOADS = {"resnet8": _RESNET8, "ad": _AD, "ad-offchip": _AD_OFFCHIP}

NAMES = tuple(_WORKLOADS)


def models() -> Path:
    """The folder of real models.

    Raises
    ------
    UserError
        If there is none.
    """
    folder = Path(os.environ.get("INTARSIA_MODELS", Path("..", "shared", "models")))
    if not folder.is_dir():
        raise UserError(
            f"the folder of benchmark models '{folder}' is absent; "
            "set INTARSIA_MODELS to the folder that holds mlperf_tiny"
        )
    return folder


def _samples(folder: Path, work: _Workload) -> np.ndarray:
    """Real inputs, spread evenly over all files: int8 (N, *shape)."""
    paths = sorted(folder.glob(work.inputs))
    if not paths:
        raise UserError(f"'{folder / work.inputs}' matches no file; complete the folder of models")
    try:
        arrays = [np.fromfile(path, np.int8).reshape(-1, *work.shape) for path in paths]
    except ValueError as error:
        raise UserError(f"'{folder / work.inputs}' does not hold inputs {work.shape}") from error
    every = np.concatenate(arrays)
    return every[:: max(1, len(every) // work.most)][: work.most]


def _reference(path: Path, inputs: np.ndarray) -> np.ndarray | None:
    """Outputs by TensorFlow Lite Micro; None where it is not installed."""
    if not _has_reference():
        return None
    runtime: Any = import_module("tflite_micro.python.tflite_micro.runtime")
    interpreter = runtime.Interpreter.from_file(str(path))
    outputs = []
    for one in inputs:
        interpreter.set_input(one, 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0))
    return np.stack(outputs)


def _row(
    name: str, path: Path, target: Target, inputs: np.ndarray, tell: Callable[[str], None]
) -> Row:
    started = time.perf_counter()
    design = compile(path, target, progress=tell)
    tell("emitting Verilog")
    source = design.verilog
    compiled = time.perf_counter()
    simulation = design.simulate(inputs, progress=tell)
    tell("counting multipliers")
    cells = count(source)
    tell("running the reference")
    reference = _reference(path, inputs)
    outputs = np.asarray(simulation.outputs)
    wrong = simulation.mismatches
    if reference is not None:
        wrong = max(wrong, int((outputs != reference.reshape(outputs.shape)).sum()))
    g = design.schedule.cores[0].geometry
    cycles, schedule = max(simulation.cycles), design.schedule
    moved = compulsory_bytes(design.graph, streamed=schedule.streamed)
    limit = roofline(design.graph.macs(), moved, design.target, schedule.channels)
    return {
        "workload": name,
        "multipliers": target.multipliers,
        "multipliers_other": cells.other,
        "lanes": g.lanes,
        "geometry": f"{g.rows}x{g.cols}x{g.depth}",
        "macs": design.graph.macs(),
        "roofline_cycles": limit,
        "predicted_cycles": design.prediction.cycles,
        "cycles": cycles,
        "efficiency": round(limit / cycles, 4),
        "mismatches": wrong,
        "seconds_compile": round(compiled - started, 3),
        "seconds_build": round(simulation.seconds_build, 3),
        "seconds_simulate": round(simulation.seconds_simulate / len(inputs), 3),
    }


def bench(
    names: Sequence[str], *, progress: Callable[[str], None] | None = None
) -> Iterator[tuple[Row, str]]:
    """A row per workload and target, and what its outputs were compared with.

    ``cycles`` are the most of all runs, ``seconds_simulate`` those of one run, ``mismatches`` the
    output values that differ from golden or from TensorFlow Lite Micro, whichever are more.

    Parameters
    ----------
    names
        Of :data:`NAMES`.

    Raises
    ------
    UserError
        If the models are not there.
    """
    tell = progress or (lambda words: None)
    folder = models()
    for name in names:
        work = _WORKLOADS[name]
        inputs = _samples(folder, work)
        path = folder / work.model
        has = "golden and TensorFlow Lite Micro" if _has_reference() else "golden alone"
        for target in work.targets:
            yield _row(name, path, target, inputs, tell), f"{len(inputs)} inputs, {has}"


def _has_reference() -> bool:
    return util.find_spec("tflite_micro") is not None
