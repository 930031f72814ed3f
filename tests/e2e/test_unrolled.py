"""Unrolled tasks in schedules: bit-exact, at the cycles predicted, whatever stalls."""

import numpy as np
import pytest

from gen.compile import Compiled, compile_graph
from gen.emit import verilog
from gen.graph import Conv, Graph, MatMul, Reshape, Tensor
from gen.target import Target
from sim import golden
from sim.execute import execute, memory_bytes
from sim.verilator import build


def conv(rng, name: str, x: Tensor, outputs: int, zeros: float, bits: int = 8, **options) -> Conv:
    """3 x 3, padded; of ``outputs`` channels."""
    shape = (outputs, 3, 3, x.shape[-1])
    weights = _weights(rng, shape, zeros, bits)
    scales = _scales(rng, weights)
    return Conv(name, (x.name,), name, weights, *scales, padding=(1, 1, 1, 1), **options)


def matmul(rng, name: str, x: Tensor, outputs: int, zeros: float, bits: int = 8) -> MatMul:
    weights = _weights(rng, (outputs, x.shape[-1]), zeros, bits)
    return MatMul(name, (x.name,), name, weights, *_scales(rng, weights))


def _weights(rng, shape, zeros: float, bits: int) -> np.ndarray:
    half = 1 << (bits - 1)
    return np.where(rng.random(shape) < zeros, 0, rng.integers(-half, half, shape)).astype(np.int16)


def _scales(rng, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Biases, multipliers and shifts under which sums spread over int8."""
    flat = weights.reshape(len(weights), -1).astype(float)
    real = rng.uniform(0.5, 1.0, len(flat)) / np.maximum(1, np.sqrt((flat**2).sum(axis=1)))
    fraction, exponent = np.frexp(real)
    multiplier = np.round(fraction * (1 << 31)).astype(np.int32)
    bias = rng.integers(-999, 1000, len(flat)).astype(np.int32)
    return bias, multiplier, exponent.astype(np.int8)


def network(seed: int, channels: int = 4, zeros: float = 0.5) -> Graph:
    """Two convolutions and a product, which is read as a vector."""
    rng = np.random.default_rng(seed)
    x = Tensor("x", (1, 6, 7, 3), 1.0, -5)
    a = Tensor("a", (1, 6, 7, channels), 1.0, 3)
    b = Tensor("b", (1, 6, 7, 5), 1.0, -128)
    flat = Tensor("flat", (1, 210), 1.0, -128)
    y = Tensor("y", (1, 9), 1.0, 0)
    tasks = (
        conv(rng, "a", x, channels, zeros, clamp=(3, 18)),
        conv(rng, "b", a, 5, zeros, even=True),
        Reshape("flat", ("b",), "flat"),
        matmul(rng, "y", flat, 9, 0.9),
    )
    return Graph("net", {t.name: t for t in (x, a, b, flat, y)}, tasks, ("x",), ("y",))


def check(graph: Graph, compiled: Compiled, *, throttled: bool) -> None:
    """Every output against golden, plain at the cycles predicted and then with stalls."""
    rng = np.random.default_rng(7)
    tensor = graph.tensors[graph.inputs[0]]
    inputs = [{tensor.name: rng.integers(-128, 128, tensor.shape, np.int8)} for _ in range(4)]
    seeds = [0, 0, 11, 12]
    simulator = build(
        verilog(compiled.machine.accelerator()),
        channels=compiled.schedule.channels,
        data_bytes=compiled.schedule.axi_bytes,
        memory_bytes=memory_bytes(compiled.schedule),
        throttles=len(compiled.machine.config.units) if throttled else 0,
    )
    parts = (simulator, compiled.machine, compiled.schedule, compiled.program, graph)
    runs = execute(*parts, inputs, seeds=seeds)
    for arrays, run, seed in zip(inputs, runs, seeds, strict=True):
        expected = golden.run(graph, arrays)
        for name in graph.outputs:
            np.testing.assert_array_equal(run.outputs[name], expected[name])
        assert seed or run.cycles == compiled.prediction.cycles


@pytest.mark.parametrize(
    ("unroll", "target"),
    [
        pytest.param("b", Target(24), marks=pytest.mark.slow),
        ("a,b", Target(24, offchip_bytes_per_cycle=4)),
        pytest.param("all", Target(24), marks=pytest.mark.slow),
        ("b", Target(24, onchip_bytes=1536, channels=2)),
    ],
)
def test_unrolled_and_other_cores_stream_into_each_other(unroll, target):
    graph = network(1)
    compiled = compile_graph(graph, target, unroll=unroll, throttled=True)
    unrolled = [core.geometry.unrolled for core in compiled.schedule.cores]
    names = ["a", "b", "y"] if unroll == "all" else unroll.split(",")
    assert unrolled == [False] * (len(names) < 3) + [True] * len(names)
    check(graph, compiled, throttled=True)
