"""InTAR's kernels and MobileNet, small and at full shapes: every tensor, as predicted."""

import numpy as np
import pytest

from examples.intar import KERNELS
from gen.compile import compile_graph
from gen.emit import verilog
from gen.geometry import candidates
from gen.lower import lower
from gen.operation import Geometry
from gen.target import Target
from gen.views import View
from sim import golden
from sim.execute import execute, memory_bytes, tensors_of
from sim.verilator import build

POINT_A = {"onchip_bytes": 4 << 20, "offchip_bytes_per_cycle": 64}
SEEDS = [0, 1, 2]

TABLE = {
    "mobilenet": (144, Geometry(1, 16, 9, 16), 58_500),
    "cnn": (432, Geometry(1, 48, 9, 48, 2), 28_500),
    "vae": (144, Geometry(1, 18, 8, 18, 2), 2_850),
}
"""Multipliers, the geometry that the compiler chooses, and the most cycles of the full shapes."""

SMALL = {"mobilenet": (1, 8, 9, 8), "cnn": (1, 8, 9, 8, 2), "vae": (1, 6, 8, 6, 2)}
"""Geometries for the small shapes, so that strips are many and some are partly used."""


def _elements(view: View, stored: np.ndarray) -> np.ndarray:
    """A tensor out of its storage: its channels may lie in panels, and a pixel stand for four."""
    index = view.offset + np.zeros(view.shape, dtype=np.int64)
    for axis, (size, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        along = np.arange(size) >> int(view.doubled and axis in (1, 2))
        if view.panel and axis == len(view.shape) - 1:
            places = along // view.panel * view.panel_step + along % view.panel
        else:
            places = along * stride
        index += places.reshape([-1 if i == axis else 1 for i in range(len(view.shape))])
    return stored[index]


@pytest.mark.parametrize("scale", ["small", pytest.param("full", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TABLE)
def test_kernel_is_bit_exact_in_every_tensor_and_as_predicted(name, scale, tmp_path):
    multipliers, geometry, most = TABLE[name]
    if scale == "small":
        geometry = Geometry(*SMALL[name])
    kernel = KERNELS[name](scale=scale, seed=1)
    graph, inputs = kernel.graph, kernel.inputs
    compiled = compile_graph(graph, Target(multipliers, **POINT_A), geometry=geometry)
    simulator = build(
        verilog(compiled.machine.accelerator()), channels=compiled.schedule.channels,
        data_bytes=compiled.schedule.axi_bytes, memory_bytes=memory_bytes(compiled.schedule),
        stores=True,
    )  # fmt: skip
    parts = (simulator, compiled.machine, compiled.schedule, compiled.program, graph)
    trace = tmp_path / "stores"
    runs = execute(*parts, [inputs] * len(SEEDS), seeds=SEEDS, stores=trace)
    expected = golden.run(graph, inputs)
    for run in runs:
        for output in graph.outputs:
            np.testing.assert_array_equal(run.outputs[output], expected[output])
    views = lower(graph, geometry).views
    seen = dict(tensors_of(trace, compiled.schedule))
    compared = 0
    for task in graph.tasks:
        view = views.get(task.output)
        if view is not None and view.storage in seen:
            stored = seen[view.storage].view(graph.tensors[task.output].dtype)
            own = _elements(view, stored)
            np.testing.assert_array_equal(own, expected[task.output], task.name)
            compared += 1
    assert compared > len(graph.tasks) // 2
    assert runs[0].cycles == compiled.prediction.cycles
    if scale == "full":
        assert runs[0].cycles <= most


@pytest.mark.parametrize("name", TABLE)
def test_geometry_that_promises_most_lets_columns_have_operands_of_their_own(name):
    multipliers, geometry, _ = TABLE[name]
    graph = KERNELS[name](scale="full").graph
    ((_, best),) = candidates(graph, Target(multipliers, **POINT_A), 1)
    assert best == geometry
    windows = [op.window for op in lower(graph, best).operations]
    assert sum(window.segments is not None for window in windows) >= 4
