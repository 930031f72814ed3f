"""The benchmark of unrolled layers: kernels, widths and sparsities by generator and flow."""

import csv
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gen.emit import component_verilog
from gen.errors import UserError
from gen.unrolled.generators import alkaid, da4ml
from gen.unrolled.kernels import KERNELS, Kernel, Numbers, kernel, numbers, replicated, weights
from gen.unrolled.native import library
from gen.unrolled.search import search
from gen.unrolled.stages import Delay, stages
from rtl.unrolled.graph import AdderGraph
from rtl.unrolled.plain import PlainProduct
from rtl.unrolled.product import ConstantProduct, row_source
from rtl.unrolled.window import Windowed
from sim.vectors import run_vectors

from .unrolled_flows import FLOWS, MODEL, Figures, hosting, measure, operands_of, vtr_files

__all__ = [
    "GENERATORS",
    "QUICK",
    "Case",
    "Row",
    "as_json",
    "bench",
    "cases",
    "ratios",
    "write_csv",
    "write_vtr",
]

GENERATORS = ("plain", "da4ml", "alkaid", "ours", "ours-10x")
"""``ours`` takes the time of the better of da4ml and alkaid, ``ours-10x`` ten times as long."""

VECTORS = 200
_SHARE = 0.95
"""Of our time that is the search's; the rest is for building the graph from what it found."""
_DELAY, _TARGET = Delay(row=1.0, bit=0.0), 1.0
"""A row a stage, for the highest clock."""
_OTHERS = {"da4ml": da4ml, "alkaid": alkaid}


@dataclass(frozen=True)
class Case:
    """A matrix and a flow, for which every generator gives a row."""

    kernel: str
    size: str
    arithmetic: str
    width: str
    sparsity: float
    flow: str
    seed: int


@dataclass(frozen=True)
class Row:
    """What one generator gave.

    ``latency`` is in cycles, 0 without registers; ``adders`` counts rows; ``mismatches`` counts
    outputs in Verilator that differ from NumPy's. ``fmax_mhz`` is None where the flow has none, and
    ``mismatches`` where it is the model, which simulates nothing.
    """

    generator: str
    kernel: str
    size: str
    arithmetic: str
    width: str
    sparsity: float
    seed: int
    flow: str
    luts: int
    ffs: int
    carries: int
    fmax_mhz: float | None
    latency: int
    adders: int | None
    depth: int | None
    mismatches: int | None
    seconds_generate: float


QUICK = tuple(
    Case("vector", "16", arithmetic, "4", 0.8, flow, 1)
    for arithmetic, flow in (
        ("exact", "xcup"),
        ("exact", "xcup-ternary"),
        ("kratos", "xcup-ternary"),
    )
)
"""What runs by default."""


def cases(
    kernels: Sequence[tuple[str, str]] = KERNELS,
    arithmetics: Sequence[str] = ("exact", "kratos"),
    widths: Sequence[str] = ("1", "2", "4", "8", "mixed"),
    sparsities: Sequence[float] = (0.0, 0.5, 0.8, 0.9, 0.95),
    flows: Sequence[str] = FLOWS,
    seeds: Sequence[int] = (1,),
) -> tuple[Case, ...]:
    """All combinations.

    Raises
    ------
    UserError
        If one of them does not exist.
    """
    for name, size in kernels:
        kernel(name, size)
    for arithmetic, width in itertools.product(arithmetics, widths):
        numbers(arithmetic, width)
    for flow in flows:
        operands_of(flow)
    for sparsity in sparsities:
        if not 0 <= sparsity <= 1:
            raise UserError(f"sparsity must be from 0 to 1, not {sparsity}")
    every = itertools.product(kernels, arithmetics, widths, sparsities, flows, seeds)
    return tuple(Case(*k, a, w, s, f, seed) for k, a, w, s, f, seed in every)


@dataclass(frozen=True)
class _Made:
    """A generator's block, None for the model, and how long its graph took."""

    block: Any
    sources: list[str]
    graph: AdderGraph | None
    seconds: float


def _block(made: AdderGraph, shape: Kernel, flow: str, seconds: float) -> _Made:
    whole = replicated(made, len(shape.delays) * shape.inputs, shape.copies)
    if flow == MODEL:
        return _Made(None, [], whole, seconds)
    routed = flow == "ecp5-fmax"
    chosen = stages(whole, _TARGET, _DELAY) if routed else None
    block: Any = ConstantProduct(whole, stages=chosen, registered=routed)
    return _Made(_wrapped(block, shape), [row_source()], whole, seconds)


def _wrapped(product: Any, shape: Kernel) -> Any:
    return Windowed(product, shape.delays) if shape.delays != (0,) else product


def _plain(shape: Kernel, matrix: np.ndarray, kind: Numbers) -> _Made:
    m = matrix.shape[1]
    whole = np.zeros((len(shape.delays) * shape.inputs, m * len(shape.copies)), np.int64)
    for k, copy in enumerate(shape.copies):
        whole[list(copy), k * m : (k + 1) * m] = matrix
    start = time.perf_counter()
    product = PlainProduct(whole, kind.interval, kind.modulus_bits)
    return _Made(_wrapped(product, shape), [], None, time.perf_counter() - start)


def _compared(made: _Made, source: str, shape: Kernel, matrix: np.ndarray, case: Case) -> int:
    """Outputs in Verilator that differ from NumPy's, all cycles from a full window on."""
    kind = numbers(case.arithmetic, case.width)
    low, high = kind.interval
    history = max(shape.delays)
    rng = np.random.default_rng(case.seed + 1000)
    x = rng.integers(low, high, (VECTORS + history, shape.inputs), endpoint=True)
    x[history], x[history + 1] = low, high
    given, out = made.block.i.shape(), made.block.o.shape()
    latency = _latency(made)
    y = run_vectors(
        [source, *made.sources],
        x,
        input_bits=given.elem_shape.width,
        outputs=out.length,
        output_bits=out.elem_shape.width,
        signed=out.elem_shape.signed,
        latency=latency if latency or history else None,
    )
    golden = shape.golden(x, matrix)
    if kind.modulus_bits is not None:
        golden %= 1 << kind.modulus_bits
    return int((y[history:] != golden[history:]).sum())


def _latency(made: _Made) -> int:
    block = made.block
    if block is None:
        return 0
    return (block.product if isinstance(block, Windowed) else block).latency


def _rows(case: Case, generators: Sequence[str]) -> list[Row]:
    """The rows of a case."""
    shape, kind = kernel(case.kernel, case.size), numbers(case.arithmetic, case.width)
    matrix = weights(shape.matrix, kind, case.sparsity, case.seed)
    inputs = [kind.interval] * len(matrix)
    options = {
        "operands": operands_of(case.flow),
        "modulus_bits": kind.modulus_bits,
        "hosting": hosting(case.flow),
    }
    library("search.cpp")
    made: dict[str, _Made] = {}
    best: tuple[int, float] | None = None
    for name in GENERATORS:
        # A plain sum has no rows of three operands and no pipeline.
        if (
            name == "plain"
            and name in generators
            and operands_of(case.flow) == 2
            and case.flow != "ecp5-fmax"
        ):
            made[name] = _plain(shape, matrix, kind)
        elif name in _OTHERS:
            start = time.perf_counter()
            graph = _OTHERS[name](matrix, inputs, **options)
            seconds = time.perf_counter() - start
            if best is None or graph.area < best[0]:
                best = graph.area, seconds
            if name in generators:
                made[name] = _block(graph, shape, case.flow, seconds)
        elif name in generators and best is not None:
            start = time.perf_counter()
            budget = _SHARE * best[1] * (10 if name == "ours-10x" else 1)
            graph = search(matrix, inputs, **options, seconds=budget, seed=case.seed)
            made[name] = _block(graph, shape, case.flow, time.perf_counter() - start)
    return [_row(case, name, one, shape, matrix) for name, one in made.items()]


def _row(case: Case, name: str, made: _Made, shape: Kernel, matrix: np.ndarray) -> Row:
    if case.flow == MODEL:
        figures, mismatches = Figures(made.graph.area if made.graph else 0, 0, 0, None), None
    else:
        source = component_verilog(made.block, "block", complete=made.graph is None)
        figures = measure([source, *made.sources], case.flow)
        mismatches = _compared(made, source, shape, matrix, case)
    graph = made.graph
    return Row(
        name,
        case.kernel,
        case.size,
        case.arithmetic,
        case.width,
        case.sparsity,
        case.seed,
        case.flow,
        figures.luts,
        figures.ffs,
        figures.carries,
        figures.fmax_mhz,
        _latency(made),
        len(graph.rows) if graph is not None else None,
        max(graph.depths) if graph is not None else None,
        mismatches,
        round(made.seconds, 3),
    )


def bench(
    chosen: Sequence[Case],
    *,
    generators: Sequence[str] = GENERATORS,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """Rows of all cases, as they get ready.

    Parameters
    ----------
    chosen
        The cases.
    generators
        Of :data:`GENERATORS`; da4ml and alkaid run in any case, since ours takes as long.
    workers
        Processes on this machine.
    scheduler
        Address of a Dask scheduler that runs the cases instead.

    Raises
    ------
    UserError
        If a generator does not exist, or Dask is wanted and not installed.
    """
    tell = progress or (lambda words: None)
    for name in generators:
        if name not in GENERATORS:
            raise UserError(f"no generator is called '{name}'; there are {', '.join(GENERATORS)}")
    spread = _spread(chosen, generators, workers, scheduler)
    for done, rows in enumerate(spread, 1):
        tell(f"{done} of {len(chosen)} cases")
        yield from rows


def _spread(
    chosen: Sequence[Case], generators: Sequence[str], workers: int, scheduler: str | None
) -> Iterator[list[Row]]:
    if scheduler is not None:
        try:
            from dask import distributed  # pyright: ignore
        except ImportError as error:
            raise UserError("Dask is not installed: pip install 'dask[distributed]'") from error
        with distributed.Client(scheduler) as client:
            jobs = [client.submit(_rows, case, tuple(generators)) for case in chosen]
            for job in distributed.as_completed(jobs):
                yield job.result()
    elif workers > 1 and len(chosen) > 1:
        with ProcessPoolExecutor(workers) as pool:
            jobs = [pool.submit(_rows, case, tuple(generators)) for case in chosen]
            for job in as_completed(jobs):
                yield job.result()
    else:
        for case in chosen:
            yield _rows(case, generators)


def ratios(rows: Sequence[Row]) -> list[tuple[Case, str, float]]:
    """LUTs of ours to the better of da4ml and alkaid, for each case and each of ours."""
    result = []
    names = [field.name for field in fields(Case)]
    by_case: dict[Case, dict[str, int]] = {}
    for row in rows:
        case = Case(**{name: getattr(row, name) for name in names})
        by_case.setdefault(case, {})[row.generator] = row.luts
    for case, luts in by_case.items():
        others = [luts[name] for name in _OTHERS if name in luts]
        for name in ("ours", "ours-10x"):
            if name in luts and others and min(others):
                result.append((case, name, luts[name] / min(others)))
    return result


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line a row, headed by the fields."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows([asdict(row) for row in rows])


def as_json(rows: Sequence[Row]) -> str:
    """A list with an object a row."""
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def write_vtr(chosen: Sequence[Case], folder: Path) -> None:
    """BLIF and Verilog of our design for each different matrix, for VTR and others."""
    seen = set()
    for case in chosen:
        name = (
            f"{case.kernel}-{case.size}-{case.arithmetic}-{case.width}-{case.sparsity}-{case.seed}"
        )
        if name in seen:
            continue
        seen.add(name)
        shape, kind = kernel(case.kernel, case.size), numbers(case.arithmetic, case.width)
        matrix = weights(shape.matrix, kind, case.sparsity, case.seed)
        inputs = [kind.interval] * len(matrix)
        graph = search(matrix, inputs, operands=2, modulus_bits=kind.modulus_bits, rounds=1000)
        made = _block(graph, shape, "lut6", 0.0)
        source = component_verilog(made.block, "block", complete=False)
        vtr_files([source, *made.sources], folder, name)
