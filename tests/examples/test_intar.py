"""The kernels have the published shapes, use their formats well, and are close to float64."""

import doctest

import numpy as np
import pytest

import examples.intar
from examples.intar import KERNELS
from gen.graph import Graph, Upsample
from sim import golden

MACS = {
    "attention": (268435456, 268435456, 268435456, 67108864, 67108864),
    "ffn": (262144, 2097152, 524288),
    "cnn": (451584, 1806336, 7225344, 1806336),
    "vae": (112896, 20736, 82944, 40000),
    "gating": (1442840576, 1442840576, 1442840576),
    "mobilenet": (7489664,),
}
"""At full scale, of each task that multiplies by weights or matrices; MobileNet's in all."""

ENDS = {
    "attention": ({"x": (256, 1024)}, (256, 1024)),
    "ffn": ({"x": (1, 256)}, (1, 256)),
    "cnn": ({"x": (1, 224, 224, 1)}, (1, 224, 224, 1)),
    "vae": ({"x": (1, 28, 28, 2), "eps": (1, 18, 18, 2)}, (1, 28, 28, 2)),
    "gating": ({"x": (32, 4096)}, (32, 4096)),
    "mobilenet": ({"x": (1, 96, 96, 3)}, (1, 2)),
}
"""Inputs and output at full scale."""

MOST_STEPS = {"attention": 10, "ffn": 2, "cnn": 3, "vae": 16, "gating": 16, "mobilenet": 8}
"""Largest error of any element of any tensor, in steps of its format."""

MOST_RELATIVE = {16: 1e-3, 8: 2e-2}
"""Root mean square of the error of a tensor, relative to its values, by bits."""


def distinct_possible(graph: Graph, name: str) -> int:
    """Elements of a tensor that are not copies of others by construction."""
    producer = graph.producer(name)
    source = producer.inputs[0] if isinstance(producer, Upsample) else name
    return graph.tensors[source].size


def examine(name: str, scale: str, seed: int) -> None:
    """Saturation, distinct values and errors of every tensor of a kernel."""
    kernel = KERNELS[name](scale=scale, seed=seed)
    graph = kernel.graph
    values = golden.run(graph, kernel.inputs)
    assert set(kernel.real) == set(values) == set(graph.tensors)
    for tensor in graph.tensors.values():
        q, about = values[tensor.name], f"{name} {scale} {seed}: {tensor.name}"
        low, high = tensor.limits
        saturated = (q == high) | ((q == low) & (tensor.zero_point != low))
        assert saturated.mean() < 0.01, about
        possible = distinct_possible(graph, tensor.name)
        wanted = min(1000, 0.4 * possible) if tensor.bits == 16 else min(48, 0.2 * possible)
        assert len(np.unique(q)) >= wanted, about
        exact = kernel.real[tensor.name]
        error = (q.astype(np.float64) - tensor.zero_point) * tensor.scale - exact
        assert np.abs(error).max() <= MOST_STEPS[name] * tensor.scale, about
        assert np.linalg.norm(error) <= MOST_RELATIVE[tensor.bits] * np.linalg.norm(exact), about


def assert_published(name: str, graph: Graph) -> None:
    inputs, output = ENDS[name]
    assert {n: graph.tensors[n].shape for n in graph.inputs} == inputs
    assert [graph.tensors[n].shape for n in graph.outputs] == [output]
    macs = [task.macs(graph) for task in graph.tasks if task.macs(graph)]
    assert (sum(macs),) == MACS[name] if name == "mobilenet" else tuple(macs) == MACS[name]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", KERNELS)
def test_small_kernels_are_close_to_float64(name, seed):
    examine(name, "small", seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_full_kernels_are_close_to_float64(name):
    examine(name, "full", 0)


@pytest.mark.parametrize("name", [name for name in KERNELS if name != "gating"])
def test_full_kernels_have_the_published_shapes(name):
    assert_published(name, KERNELS[name]().graph)


@pytest.mark.slow
def test_the_full_gating_kernel_has_the_published_shapes():
    assert_published("gating", KERNELS["gating"]().graph)


@pytest.mark.parametrize("name", KERNELS)
def test_a_seed_means_one_kernel(name):
    one, same, other = (KERNELS[name](scale="small", seed=seed) for seed in (5, 5, 6))
    assert one.graph == same.graph
    assert one.graph != other.graph
    assert {task.kind for task in one.graph.tasks} == {task.kind for task in other.graph.tasks}
    for key, value in one.inputs.items():
        np.testing.assert_array_equal(value, same.inputs[key])


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="scale must be one of full, small, not 'huge'"):
        KERNELS["ffn"](scale="huge")


def test_the_example_of_the_package_runs():
    assert doctest.testmod(examples.intar).failed == 0
