"""Design: a model compiled for a target, from Python as from the command line."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gen.check import check
from gen.compile import Compiled, compile_graph, machine_for
from gen.emit import verilog
from gen.errors import UserError
from gen.frontends import load as load_model
from gen.graph import Graph
from gen.machine import Machine
from gen.program import Program, program
from gen.schedule import Schedule
from gen.target import Target
from gen.timing import Prediction
from sim import golden
from sim.execute import Run, execute, memory_bytes
from sim.verilator import Simulator, build

from .arrays import Arrays, from_file, to_file
from .folder import read_folder, write_folder

__all__ = ["Design", "Simulation", "compile", "load"]

Progress = Callable[[str], None]

CHUNKS = 20
"""A long simulation tells of its progress about so often."""

MOST_COUNTED = 1 << 16
"""Of any loop of the gather unit."""


@dataclass(frozen=True)
class Simulation:
    """What the RTL did.

    ``outputs`` are those of :meth:`Design.predict`'s form; ``cycles`` and ``stalls`` have one entry
    per run, ``mismatches`` counts the output values that differ from golden.
    """

    outputs: np.ndarray | dict[str, np.ndarray]
    runs: tuple[Run, ...]
    mismatches: int
    seconds_build: float
    seconds_simulate: float

    @property
    def cycles(self) -> tuple[int, ...]:
        return tuple(run.cycles for run in self.runs)

    @property
    def stalls(self) -> tuple[int, ...]:
        return tuple(run.stalls for run in self.runs)


@dataclass(frozen=True)
class Design:
    """A graph, its schedule for a target, and the circuit that follows from them.

    ``source`` is the Verilog where it is known already, as in a design that was loaded.
    """

    graph: Graph
    target: Target
    schedule: Schedule
    prediction: Prediction
    source: str | None = field(default=None, repr=False)

    @cached_property
    def program(self) -> Program:
        """The words of each unit, and the constant memories."""
        return program(self.schedule)

    @cached_property
    def machine(self) -> Machine:
        """The hardware before it is Verilog."""
        return self._machine(throttled=False)

    def _machine(self, *, throttled: bool) -> Machine:
        memory = self.target.memory
        return machine_for(self.schedule, self.program, memory=memory, throttled=throttled)

    @cached_property
    def verilog(self) -> str:
        """The accelerator, one file with the top module ``accelerator``."""
        return self.source if self.source is not None else verilog(self.machine.accelerator())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Design):
            return NotImplemented
        names = ("graph", "target", "schedule", "prediction", "verilog")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def predict(self, x: Arrays) -> Any:
        """The outputs by the golden model.

        Parameters
        ----------
        x
            An array for the model's input, or several by name, in the model file's layout and
            integer type, or real numbers, which are quantised first. With a first axis of samples,
            each is run.

        Returns
        -------
        ndarray or dict of ndarray
            The output, or several by name, in the model file's layout; integers, or real numbers
            where ``x`` has them.

        Raises
        ------
        UserError
            If ``x`` has another shape or type.
        """
        batch = from_file(self.graph, x)
        results = [golden.run(self.graph, run) for run in batch.runs]
        return to_file(self.graph, batch, results)

    def simulator(
        self,
        *,
        stores: bool = False,
        waves: bool = False,
        throttled: bool = False,
        progress: Progress | None = None,
    ) -> Simulator:
        """The Verilog, built into a simulator; kept from earlier times where nothing changed.

        Parameters
        ----------
        stores, waves
            With the trace of what is stored, and able to write a waveform.
        throttled
            With inputs that hold internal streams, which the written Verilog does not have.
        """
        tell = progress or (lambda words: None)
        source = self.verilog
        if throttled:
            tell("emitting Verilog with throttles")
            source = verilog(self._machine(throttled=True).accelerator())
        return build(
            source,
            channels=self.schedule.channels,
            data_bytes=self.schedule.axi_bytes,
            memory_bytes=memory_bytes(self.schedule),
            throttles=len(self.machine.config.units) if throttled else 0,
            stores=stores,
            waves=waves,
            progress=progress,
        )

    def simulate(
        self,
        x: Arrays,
        *,
        seeds: Sequence[int] = (),
        waves: str | os.PathLike[str] | None = None,
        stores: Path | None = None,
        progress: Progress | None = None,
    ) -> Simulation:
        """Run the Verilog in Verilator, and compare with golden.

        Parameters
        ----------
        x
            As for :meth:`predict`.
        seeds
            Of random stalls on every AXI channel and internal stream, per run; the last one holds
            for all further runs. Nothing or 0: no stalls.
        waves, stores
            Where to write a waveform and the trace of stores, both of the first run.
        progress
            Called with a few words at every step.

        Raises
        ------
        UserError
            If ``x`` does not suit the model, or the machine has no compiler.
        SimulationError
            If the accelerator hangs or breaks a protocol.
        """
        tell = progress or (lambda words: None)
        batch = from_file(self.graph, x)
        started = time.perf_counter()
        throttled = any(seeds)
        traced = waves is not None or stores is not None
        simulator = self.simulator(
            stores=stores is not None,
            waves=waves is not None,
            throttled=throttled,
            progress=progress,
        )
        built = time.perf_counter()
        inputs = batch.runs
        padded = [*seeds, *[seeds[-1]] * len(inputs)] if seeds else [0] * len(inputs)
        machine = self._machine(throttled=True) if throttled else self.machine
        runs: list[Run] = []
        step = max(1, len(inputs) // CHUNKS)
        while len(runs) < len(inputs):
            tell(f"simulating {len(runs)}/{len(inputs)}")
            first = len(runs)
            last = first + (1 if traced and not runs else step)
            runs += execute(
                simulator,
                machine,
                self.schedule,
                self.program,
                self.graph,
                inputs[first:last],
                seeds=padded[first:last],
                stores=stores if first == 0 else None,
                waves=Path(waves) if waves is not None and first == 0 else None,
            )
        simulated = time.perf_counter()
        tell(f"simulating {len(inputs)}/{len(inputs)}")
        wrong = 0
        for given, run in zip(inputs, runs, strict=True):
            expected = golden.run(self.graph, given)
            wrong += sum(int((run.outputs[n] != expected[n]).sum()) for n in self.graph.outputs)
        outputs = to_file(self.graph, batch, [run.outputs for run in runs])
        return Simulation(outputs, tuple(runs), wrong, built - started, simulated - built)

    def write(self, directory: str | os.PathLike[str]) -> Path:
        """Write everything into a new folder, which appears when it is complete.

        Raises
        ------
        UserError
            If ``directory`` exists or cannot be made.
        """
        folder = Path(directory)
        write_folder(self, folder)
        return folder

    def report(
        self,
        directory: str | os.PathLike[str],
        measured: Mapping[str, int] | None = None,
    ) -> Path:
        """Write ``report.json`` and ``report.html`` into ``directory``.

        Parameters
        ----------
        measured
            Cycles by operation, and of ``outputs``, as :mod:`intarsia.layers` measures them.

        Returns
        -------
        Path
            The page.
        """
        from gen import report

        folder = Path(directory)
        parts = (self.graph, self.target, self.schedule, self.program, self.machine)
        try:
            report.write(Compiled(*parts, self.prediction), folder, measured)
        except OSError as error:
            raise UserError(f"cannot write '{folder}': {error.strerror or error}") from error
        return folder / "report.html"


def compile(
    model: str | os.PathLike[str] | Graph,
    target: Target | None = None,
    *,
    policy: str = "sequential",
    unroll: str = "none",
    progress: Progress | None = None,
    **options: Any,
) -> Design:
    """Compile a quantised model.

    Parameters
    ----------
    model
        A ``.tflite`` or ``.onnx`` file, or a graph.
    target
        The budget; by default 144 multipliers and 512 KB.
    policy
        ``"sequential"``: one task after the other on one core; ``"dataflow"``: each task on a core
        of its own; ``"auto"``: whatever of both and of all between is fastest.
    unroll
        Tasks whose weights become the circuit: ``"none"``, ``"auto"`` where that is smaller than an
        array as fast, ``"all"`` that can be, or names separated by commas.
    progress
        Called with a few words at every step.
    options
        Members of the target that differ: ``multipliers``, ``onchip_bytes``,
        ``offchip_bytes_per_cycle``, ``channels``, ``memory``, ``luts``.

    Raises
    ------
    UserError
        If the model cannot be read or does not fit the target, naming what would.
    """
    target = target or Target()
    unknown = [name for name in options if name not in Target.__dataclass_fields__]
    if unknown:
        known = ", ".join(Target.__dataclass_fields__)
        raise UserError(f"unknown option '{unknown[0]}'; options are {known}")
    target = replace(target, **options)
    tell = progress or (lambda words: None)
    tell("reading the model")
    graph = model if isinstance(model, Graph) else load_model(model)
    compiled = compile_graph(graph, target, policy=policy, unroll=unroll, progress=progress)
    return Design(graph, target, compiled.schedule, compiled.prediction)


def load(directory: str | os.PathLike[str]) -> Design:
    """Read the folder that :meth:`Design.write` wrote.

    Raises
    ------
    UserError
        If ``directory`` holds no whole design.
    """
    parts = read_folder(Path(directory))
    design = Design(**parts)
    with _damage_told(Path(directory)):
        design.graph.check()
        _countable(design.schedule)
        check(design.schedule)
        assert design.machine
        missing = {*design.graph.inputs, *design.graph.outputs} - {*design.schedule.offchip}
        if missing:
            raise ValueError(f"the schedule does not know '{missing.pop()}'")
    return design


def _countable(schedule: Schedule) -> None:
    """Refuses loops beyond the width of their counters, before anything walks through them."""
    for phase in schedule.phases:
        w = phase.operation.window
        loops = (w.rows, w.pixels, w.lines, w.taps, w.height)
        if not all(0 < count <= MOST_COUNTED for count in loops):
            raise ValueError(f"'{phase.operation.name}' counts to {max(loops)}")


@contextlib.contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    """Turns what inconsistent data bring about into an error about the folder."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(
            f"the design in '{folder}' is damaged ({reason}); compile the model again"
        ) from e
