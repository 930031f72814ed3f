"""Cycles of each layer, as predicted and as the trace of a simulation shows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gen.order import group_count
from gen.schedule import Schedule
from gen.timing import Prediction
from sim.testbench import read_trace

__all__ = ["Layer", "layers"]


@dataclass(frozen=True)
class Layer:
    """From the last store of the operation before it (or the start) to its own last store.

    ``predicted`` and ``measured`` of all layers add up to the cycles of the run; the last one is
    what the outputs take to leave.
    """

    name: str
    macs: int
    predicted: int
    measured: int

    def efficiency(self, multipliers: int) -> float | None:
        """Products per cycle and multiplier; None for what multiplies nothing."""
        return self.macs / (multipliers * max(1, self.measured)) if self.macs else None


def layers(
    schedule: Schedule, prediction: Prediction, stores: Path, start: int, cycles: int
) -> Iterator[Layer]:
    """Every operation in order, then the transfer of the outputs; of a machine with one core.

    Parameters
    ----------
    stores
        Trace of one run.
    start, cycles
        Of that run.
    """
    ends = {s.index: s.last for s in prediction.spans if s.unit == "epilogue"}
    trace = (row[0] - start for row in read_trace(stores))
    foreseen = measured = 0
    for index, phase in enumerate(schedule.phases):
        operation = phase.operation
        end = measured
        for _ in range(group_count(operation, schedule.geometry(phase))):
            end = next(trace)
        name = operation.name
        yield Layer(name, operation.macs, ends[index] - foreseen, end - measured)
        foreseen, measured = ends[index], end
    yield Layer("outputs", 0, prediction.cycles - foreseen, cycles - measured)
