"""Runs a schedule on its machine, in a built simulator, and brings the results back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gen.graph import Graph
from gen.machine import Machine
from gen.order import group_count
from gen.program import Program
from gen.schedule import Schedule
from rtl.register_map import register
from sim.testbench import read_trace
from sim.verilator import Script, Simulator

__all__ = ["Run", "execute", "memory_bytes", "regions", "tensors_of"]

PAGE = 4096


@dataclass(frozen=True)
class Run:
    """One inference: the graph's outputs, and what the machine and the bus counted."""

    outputs: Mapping[str, np.ndarray]
    cycles: int
    stalls: int
    read_beats: int
    write_beats: int
    start: int


def regions(schedule: Schedule) -> tuple[int, ...]:
    """Base address of each off-chip region, one behind the other, each on a page of its own."""
    bases, at = [], 0
    for size in schedule.region_bytes:
        bases.append(at)
        at += -(-max(1, size) // PAGE) * PAGE
    return tuple(bases)


def memory_bytes(schedule: Schedule, *, least: int = 1 << 16) -> int:
    """Off-chip memory that a run needs, a power of two, at least ``least``."""
    last = regions(schedule)[-1] + max(1, schedule.region_bytes[-1])
    return max(least, 1 << (last - 1).bit_length())


def _bounds(schedule: Schedule) -> int:
    """Cycles after which a run with random stalls must long be over."""
    steps = 0
    for phase in schedule.phases:
        op, g = phase.operation, schedule.geometry(phase)
        window = op.window
        beats = window.lines * window.taps * (window.run + 1)
        passes = op.tiles(g) * op.passes(g) * (op.words(g) + g.rows * g.groups + 40)
        steps += window.pixel_count * beats + passes + 4000
        if op.softmax is not None:
            steps += window.pixel_count * (8 * op.outputs + 200)
    fetches = (plan for channel in schedule.fetches for plan in channel)
    beats = sum(plan.beats + 300 for plan in (*fetches, *schedule.sends))
    return 20 * (steps + 20 * beats) + 100_000


def execute(
    simulator: Simulator,
    machine: Machine,
    schedule: Schedule,
    program: Program,
    graph: Graph,
    inputs: Sequence[Mapping[str, np.ndarray]],
    *,
    seeds: Sequence[int] = (),
    stores: Path | None = None,
    waves: Path | None = None,
) -> list[Run]:
    """Runs every element of ``inputs`` once, one after the other in one simulation.

    Parameters
    ----------
    inputs
        Per run an array for each of the graph's inputs, int8 or int16.
    seeds
        Seed of the random stalls for each run; 0 or nothing for none.
    stores
        Where to write the trace of the epilogue's writes.
    waves
        Where to write a waveform.

    Raises
    ------
    SimulationError
        If the simulation fails or the machine reports an error.
    """
    script = Script()
    if waves is not None:
        script.waves(waves)
    script.reset()
    bases = regions(schedule)
    for offset, base in zip(register("REGION").offsets, bases, strict=True):
        script.write(offset, base)
    if program.stream_bytes:
        script.load(bases[2], program.stream)
    if machine.program is None:
        names = ("LOAD_SELECT", "LOAD_INDEX", "LOAD_DATA")
        at_select, at_index, at_data = (register(name).offset for name in names)
        pairs = []
        for select, index, data in machine.load(program):
            pairs += [(at_select, select), (at_index, index)]
            pairs += [(at_data, value) for value in data]
        script.bulk(np.array(pairs))
    for i, arrays in enumerate(inputs):
        script.seed(seeds[i] if i < len(seeds) else 0)
        for name in graph.inputs:
            script.load(bases[0] + schedule.offchip[name], np.ascontiguousarray(arrays[name]))
        for name in graph.outputs:
            size = -(-graph.tensors[name].bytes // schedule.axi_bytes) * schedule.axi_bytes
            script.fill(bases[1] + schedule.offchip[name], size, 0xA5)
        script.run(_bounds(schedule))
        for name in graph.outputs:
            script.store(bases[1] + schedule.offchip[name], graph.tensors[name].bytes)
    answers = simulator.run(script, stores=stores)
    runs = []
    per_run = 1 + len(graph.outputs)
    for i in range(len(inputs)):
        counts, *stored = answers[i * per_run : (i + 1) * per_run]
        outputs = {
            name: answer["data"].view(graph.tensors[name].dtype).reshape(graph.tensors[name].shape)
            for name, answer in zip(graph.outputs, stored, strict=True)
        }
        runs.append(
            Run(
                outputs,
                counts["cycles"],
                counts["stalls"],
                sum(counts["read_beats"]),
                sum(counts["write_beats"]),
                counts["start"],
            )
        )
    return runs


def tensors_of(stores: Path, schedule: Schedule) -> Iterator[tuple[str, np.ndarray]]:
    """Storage name and bytes, as int8, of everything that the epilogue of a machine with one core
    wrote in a traced run."""
    trace = iter(read_trace(stores))
    contents: dict[int, np.ndarray] = {}
    last_phase = {phase.sink: i for i, phase in enumerate(schedule.phases)}
    for i, phase in enumerate(schedule.phases):
        life = schedule.lifetimes[phase.sink]
        data = contents.setdefault(phase.sink, np.zeros(life.size, dtype=np.uint8))
        op = phase.operation
        for _ in range(group_count(op, schedule.geometry(phase))):
            _, buffer, address, count, word = next(trace)
            if buffer != life.buffer:
                raise ValueError(f"{op.name} wrote to buffer {buffer}, not {life.buffer}")
            at = address - life.address
            data[at : at + count] = np.frombuffer(word.to_bytes(count + 64, "little"), np.uint8)[
                :count
            ]
        if last_phase[phase.sink] == i:
            yield life.storage, data.view(np.int8)
