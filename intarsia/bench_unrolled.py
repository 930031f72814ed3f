"""The benchmark of unrolled layers: kernels, widths and sparsities by generator and flow."""

import csv
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from gen.errors import UserError
from gen.unrolled.generators import alkaid, da4ml
from gen.unrolled.kernels import KERNELS, Numbers, kernel, numbers, weights
from gen.unrolled.native import library
from gen.unrolled.search import search
from rtl.unrolled.graph import AdderGraph

from . import unrolled_circuits as circuits
from .unrolled_circuits import Circuit
from .unrolled_flows import (
    FLOWS,
    MODEL,
    ROOM,
    ROUTED,
    Figures,
    hosting,
    measure,
    operands_of,
    vtr_files,
)

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

GENERATORS = ("array", "plain", "da4ml", "alkaid", "ours", "ours-10x")
"""``array`` is the systolic kernels' and no other's. ``ours`` takes the time of the better of da4ml
and alkaid, ``ours-10x`` ten times as long."""

_SHARE = 0.95
"""Of our time that is the search's; the rest is for building the graph from what it found."""
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
    ``mismatches`` where it is the model, which simulates nothing. Where a kernel is too large for
    one chip, ``chips`` have equal parts of it, each the same circuit; what is counted is all of it.
    """

    generator: str
    kernel: str
    size: str
    arithmetic: str
    width: str
    sparsity: float
    seed: int
    flow: str
    chips: int
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
    """All combinations that a generator gives a row for.

    Raises
    ------
    UserError
        If one of them does not exist, or none gives a row.
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
    named = (Case(*k, a, w, s, f, seed) for k, a, w, s, f, seed in every)
    found = tuple(case for case in named if any(_applies(name, case) for name in GENERATORS))
    if not found:
        raise UserError(f"flow {MODEL} has no systolic kernels: it counts rows of adders")
    return found


def _applies(name: str, case: Case) -> bool:
    """Whether a generator gives a row for a case."""
    if case.kernel == "systolic" or name == "array":
        return case.kernel == "systolic" and name == "array" and case.flow != MODEL
    # A plain sum has no rows of three operands and no pipeline.
    return name != "plain" or (operands_of(case.flow) == 2 and case.flow != ROUTED)


def _rows(
    case: Case, generators: Sequence[str], seconds: float | None, chips: int | None
) -> list[Row]:
    """The rows of a case."""
    shape, kind = kernel(case.kernel, case.size), numbers(case.arithmetic, case.width)
    matrix = weights(shape.matrix, kind, case.sparsity, case.seed)
    wanted = [name for name in GENERATORS if name in generators and _applies(name, case)]
    made: dict[str, Circuit] = {}
    if "array" in wanted:
        made["array"] = circuits.array(shape, matrix, kind)
    if "plain" in wanted:
        made["plain"] = circuits.plain(shape, matrix, kind)
    if not {*wanted} <= {"array", "plain"}:
        graphs = _graphs(case, matrix, kind, wanted, seconds)
        made |= {
            name: circuits.pipelined(found, shape, spent, room=ROOM, chips=chips)
            if case.flow == ROUTED
            else circuits.unrolled(found, shape, spent)
            for name, (found, spent) in graphs.items()
        }
    return [_row(case, name, made[name], matrix) for name in wanted]


def _graphs(
    case: Case, matrix: np.ndarray, kind: Numbers, wanted: Sequence[str], seconds: float | None
) -> dict[str, tuple[tuple[AdderGraph, ...], float]]:
    """By generator, its graph and how long it took; where it is routed, graphs of parts of the
    outputs as :func:`_divided`. Ours takes ``seconds``, or as many as the better of the others,
    which then run in any case."""
    inputs = [kind.interval] * len(matrix)
    options = {
        "operands": operands_of(case.flow),
        "modulus_bits": kind.modulus_bits,
        "hosting": hosting(case.flow),
    }
    library("search.cpp")

    def timed(generate: Callable[[np.ndarray], AdderGraph]) -> tuple[tuple[AdderGraph, ...], float]:
        start = time.perf_counter()
        found = _divided(generate, matrix) if case.flow == ROUTED else (generate(matrix),)
        return found, time.perf_counter() - start

    made: dict[str, tuple[tuple[AdderGraph, ...], float]] = {}
    for name, generate in _OTHERS.items():
        if seconds is None or name in wanted:
            made[name] = timed(partial(generate, inputs=inputs, **options))
    if seconds is None:
        best, spent = min(made.values(), key=lambda one: sum(graph.area for graph in one[0]))
        seconds = spent / min(2, len(best))  # parts are made after the whole

    def ours(part: np.ndarray, budget: float) -> AdderGraph:
        share = budget * part.shape[1] / matrix.shape[1]
        return search(part, inputs, **options, seconds=share, seed=case.seed)

    for name, share in (("ours", 1), ("ours-10x", 10)):
        if name in wanted:
            made[name] = timed(partial(ours, budget=_SHARE * seconds * share))
    return {name: made[name] for name in made if name in wanted}


def _divided(
    generate: Callable[[np.ndarray], AdderGraph], matrix: np.ndarray
) -> tuple[AdderGraph, ...]:
    """A graph of all outputs; where that would be too large for a high clock, graphs of parts."""
    graph = generate(matrix)
    parts = min(matrix.shape[1], -(-graph.area // circuits.LARGEST))
    if parts < 2:
        return (graph,)
    return tuple(generate(part) for part in np.array_split(matrix, parts, axis=1))


def _row(case: Case, name: str, made: Circuit, matrix: np.ndarray) -> Row:
    graph = made.graph
    if case.flow == MODEL:
        figures, mismatches, latency = Figures(graph.area if graph else 0, 0, 0, None), None, 0
    else:
        figures = measure(made.sources, case.flow, kept=made.kept)
        kind = numbers(case.arithmetic, case.width)
        mismatches, latency = made.mismatches(kind, matrix, case.seed + 1000), made.latency
    return Row(
        name,
        case.kernel,
        case.size,
        case.arithmetic,
        case.width,
        case.sparsity,
        case.seed,
        case.flow,
        made.chips,
        figures.luts * made.chips,
        figures.ffs * made.chips,
        figures.carries * made.chips,
        figures.fmax_mhz,
        latency,
        made.chips * sum(not row.passing for row in graph.rows) if graph is not None else None,
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
    seconds: float | None = None,
    chips: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """Rows of all cases, as they get ready.

    Parameters
    ----------
    chosen
        The cases.
    generators
        Of :data:`GENERATORS`.
    workers
        Processes on this machine.
    scheduler
        Address of a Dask scheduler that runs the cases instead.
    seconds
        That ours takes; by default as many as the better of da4ml and alkaid, which then run in any
        case. What is routed and made in parts takes them twice, the first time as a whole.
    chips
        Among which kernels are divided that are routed; by default as few as they fit in.

    Raises
    ------
    UserError
        If a generator does not exist, none of them gives a row for a case, a kernel does not fit
        the chips, ``chips`` is given for a flow that is not routed, or Dask is wanted and not
        installed or does not answer.
    """
    tell = progress or (lambda words: None)
    for name in generators:
        if name not in GENERATORS:
            raise UserError(f"no generator is called '{name}'; there are {', '.join(GENERATORS)}")
    for case in chosen:
        if chips is not None and case.flow != ROUTED:
            raise UserError(f"only flow {ROUTED} takes a number of chips, not {case.flow}")
        if not any(_applies(name, case) for name in generators):
            able = ", ".join(name for name in GENERATORS if _applies(name, case)) or "none"
            raise UserError(
                f"no row for kernel {case.kernel}/{case.size} in flow {case.flow}: generators that "
                f"can make it are {able}"
            )
    rows = partial(_rows, generators=tuple(generators), seconds=seconds, chips=chips)
    spread = _spread(chosen, rows, workers, scheduler)
    for done, found in enumerate(spread, 1):
        tell(f"{done} of {len(chosen)} cases")
        yield from found


def _spread(
    chosen: Sequence[Case],
    rows: Callable[[Case], list[Row]],
    workers: int,
    scheduler: str | None,
) -> Iterator[list[Row]]:
    if scheduler is not None:
        try:
            from dask import distributed  # pyright: ignore
        except ImportError as error:
            raise UserError("Dask is not installed: pip install 'dask[distributed]'") from error
        try:
            client = distributed.Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no Dask scheduler answers at --scheduler '{scheduler}'; an address is tcp://HOST:PORT"
            ) from error
        with client:
            jobs = [client.submit(rows, case) for case in chosen]
            for job in distributed.as_completed(jobs):
                yield job.result()
    elif workers > 1 and len(chosen) > 1:
        with ProcessPoolExecutor(workers) as pool:
            jobs = [pool.submit(rows, case) for case in chosen]
            for job in as_completed(jobs):
                yield job.result()
    else:
        for case in chosen:
            yield rows(case)


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
        if case.kernel == "systolic":
            made = circuits.array(shape, matrix, kind)
        else:
            graph = search(matrix, inputs, operands=2, modulus_bits=kind.modulus_bits, rounds=1000)
            made = circuits.unrolled([graph], shape, 0.0)
        vtr_files(made.sources, folder, name)
