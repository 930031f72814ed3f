"""Averages of many channels: one operation on segments, bit-exact under stalls, both roundings."""

import numpy as np
import pytest

from gen.compile import compile_graph
from gen.graph import Graph, Pool, Task, Tensor
from gen.operation import Geometry
from gen.target import Target
from intarsia.design import Design
from sim import golden

GEOMETRY = Geometry(1, 8, 9, 8)


def _pooled(size: int, kernel: int, even: bool) -> Graph:
    made = size // kernel
    tensors = {
        "x": Tensor("x", (1, size, size, 32), 0.1, 3),
        "y": Tensor("y", (1, made, made, 32), 0.1, 3),
    }
    pool: Task = Pool("mean", ("x",), "y", "average", (kernel, kernel), (kernel, kernel), even=even)
    return Graph("pooled", tensors, (pool,), ("x",), ("y",))


@pytest.mark.parametrize(
    ("size", "kernel", "even"), [(3, 3, False), (3, 3, True), (7, 7, True), (6, 2, False)]
)
def test_an_average_is_one_operation_and_equals_golden(size, kernel, even):
    graph = _pooled(size, kernel, even)
    target = Target(72)
    compiled = compile_graph(graph, target, geometry=GEOMETRY)
    (op,) = (phase.operation for phase in compiled.schedule.phases)
    assert op.window.segments is not None
    x = np.random.default_rng(7).integers(-128, 128, (1, size, size, 32)).astype(np.int8)
    expected = golden.run(graph, {"x": x})["y"]
    simulation = Design(graph, target, compiled.schedule, compiled.prediction).simulate(
        {"x": x}, seeds=[0, 1, 2]
    )
    assert simulation.mismatches == 0
    for run in simulation.runs:
        np.testing.assert_array_equal(run.outputs["y"], expected)
    assert simulation.runs[0].cycles == compiled.prediction.cycles
