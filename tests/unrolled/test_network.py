"""Networks that are unrolled whole: exact, one image a cycle, and what they refuse."""

import subprocess
import sys
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from click.testing import CliRunner

from gen.emit import component_verilog
from gen.errors import UserError
from gen.frontends import load
from gen.graph import Graph, Lookup, MatMul, Tensor
from gen.unrolled.network import network
from intarsia.arrays import from_file
from intarsia.cli import main
from rtl.unrolled.chain import Chain
from rtl.unrolled.product import row_source
from rtl.unrolled.steps import Steps
from sim import golden
from sim.vectors import run_vectors
from tests.e2e.test_unrolled import matmul
from tests.e2e.test_unrolled import network as convolutions
from tests.unrolled.streamed import run_streamed

DATA = resources.files("intarsia").joinpath("data")


def _digits() -> tuple[Graph, np.ndarray, np.ndarray, np.ndarray]:
    """The network of 4 bits, and images, outputs and labels of the held-out digits."""
    with resources.as_file(DATA.joinpath("digits_4bit.onnx")) as path:
        graph = load(path)
    with resources.as_file(DATA.joinpath("digits_test.npz")) as path, np.load(path) as arrays:
        pixels = np.minimum(arrays["images"], 15 / 16).reshape(-1, 1, 64)
        labels = arrays["labels"]
    runs = from_file(graph, pixels).runs
    x = np.stack([run[graph.inputs[0]].ravel() for run in runs])
    y = np.stack([golden.run(graph, run)[graph.outputs[0]].ravel() for run in runs])
    return graph, x, y, labels


def test_a_pruned_digits_network_takes_an_image_a_cycle_and_is_exact():
    graph, x, y, labels = _digits()
    products = [task for task in graph.tasks if isinstance(task, MatMul)]
    for task in products:
        assert np.count_nonzero(task.weights == 0) == round(0.8 * task.weights.size)
        assert np.abs(task.weights).max() <= 7
    assert (y.argmax(axis=1) == labels).mean() >= 0.95
    made = network(graph, rounds=0)
    assert made.interval == (0, 15)
    np.testing.assert_array_equal(_run(made.component(), x), y)


def _run(block: Chain, x: np.ndarray) -> np.ndarray:
    """Outputs of ``block`` in Verilator for a vector a cycle."""
    out = block.o.shape()
    return run_vectors(
        [component_verilog(block, "block", complete=False), row_source()],
        x,
        input_bits=block.i.shape().elem_shape.width,
        outputs=out.length,
        output_bits=out.elem_shape.width,
        signed=out.elem_shape.signed,
        latency=block.latency,
    )


def _small(even: bool, shift: int) -> tuple[Graph, np.ndarray, np.ndarray]:
    """A product with a clamp and a table behind it; inputs and outputs."""
    rng = np.random.default_rng(9)
    x, y, z = (
        Tensor("x", (1, 6), 1.0, -7),
        Tensor("y", (1, 9), 1.0, 11),
        Tensor("z", (1, 9), 1.0, 0),
    )
    task = replace(matmul(rng, "y", x, 9, 0.2), even=even, clamp=(-100, 90))
    task = replace(task, shift=task.shift + np.int8(shift))
    table = np.sort(rng.integers(-20, 20, 256)).astype(np.int8)
    lookup = Lookup("z", ("y",), "z", "any", table)
    graph = Graph("net", {t.name: t for t in (x, y, z)}, (task, lookup), ("x",), ("z",))
    given = rng.integers(-128, 128, (500, 6))
    made = [golden.run(graph, {"x": v[None].astype(np.int8)})["z"].ravel() for v in given]
    return graph, given, np.stack(made)


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("shift", [-2, 1])
def test_every_requantisation_clamp_and_table_is_exact(even, shift):
    graph, x, y = _small(even, shift)
    np.testing.assert_array_equal(_run(network(graph, rounds=0).component(), x), y)


def test_a_network_between_streams_waits_for_both(tmp_path):
    graph, x, y = _small(True, 0)
    chain = network(graph, rounds=0).component()
    run_streamed(chain, x, y, seed=5, folder=tmp_path)


def test_steps_count_thresholds():
    steps = Steps(-3, (0, 2, 2, 9))
    assert [steps(x) for x in (-1, 0, 2, 8, 9)] == [-3, -2, 0, 0, 1]


def test_what_cannot_be_unrolled_whole_is_told():
    with pytest.raises(UserError, match="task 'a' cannot be part of a network that is unrolled"):
        network(convolutions(1))
    x, y, z = (Tensor(name, (1, 6), 1.0, 0) for name in "xyz")
    table = (-np.arange(-128, 128) // 2).astype(np.int8)
    product = matmul(np.random.default_rng(1), "y", x, 6, 0.2)
    falls = Lookup("z", ("y",), "z", "neg", table)
    graph = Graph("net", {t.name: t for t in (x, y, z)}, (product, falls), ("x",), ("z",))
    with pytest.raises(UserError, match="task 'y' is followed by a table that falls"):
        network(graph, rounds=0)
    first = replace(falls, inputs=("x",), output="y")
    graph = replace(graph, tasks=(first, replace(product, inputs=("y",), output="z")))
    with pytest.raises(UserError, match="'net' begins with a table; only a clamp may come first"):
        network(graph, rounds=0)


def test_a_network_is_written_as_verilog(tmp_path):
    path = tmp_path / "network.v"
    with resources.as_file(DATA.joinpath("digits_4bit.onnx")) as model:
        done = CliRunner().invoke(main, ["unroll", str(model), "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert "64 inputs of 4 bits, 10 outputs of 6 bits; an input a cycle" in done.output
    # Yosys finds every module and port.
    script = f"read_verilog {path}; hierarchy -check -top network; proc; check -assert"
    done = subprocess.run([*_YOSYS, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


_YOSYS = (sys.executable, "-c", "import sys, pyosys.libyosys as y; y.run_pass(sys.argv[1])")


@pytest.mark.parametrize(
    ("model", "output", "message"),
    [
        ("digits_int8.onnx", "a.v", "cannot be part of a network that is unrolled whole"),
        ("digits_4bit.onnx", "absent/a.v", "must be the name of a file in a folder that exists"),
    ],
)
def test_what_is_not_written(tmp_path, model, output, message):
    with resources.as_file(DATA.joinpath(model)) as path:
        done = CliRunner().invoke(main, ["unroll", str(path), "-o", str(tmp_path / output)])
    assert done.exit_code == 2
    assert message in done.output
    assert not [*tmp_path.iterdir()]
