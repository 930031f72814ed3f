"""A quantised ResNet-8, end to end: golden and RTL within one step of ONNX Runtime."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gen.compile import compile_graph
from gen.emit import verilog
from gen.frontends import load
from gen.graph import Graph
from gen.quantise_onnx import FORMATS, quantise
from gen.target import Target
from sim import golden
from sim.execute import execute, memory_bytes
from sim.verilator import build
from tests.models import model_path
from tests.onnx_models import Net, held, ort, session

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OPERATORS = ("Conv", "Add", "AveragePool", "Gemm", "Softmax")


@cache
def _images() -> np.ndarray:
    """The ten images as the float model takes them, (10, 3, 32, 32)."""
    folder = model_path("mlperf_tiny/resnet8")
    codes = [np.fromfile(folder / f"quant_{c}.dat", np.int8) for c in CLASSES]
    return np.stack(codes).reshape(10, 32, 32, 3).transpose(0, 3, 1, 2).astype(np.float32) + 128


@pytest.fixture(scope="module", params=FORMATS)
def quantised(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("resnet8") / f"{request.param}.onnx"
    source = model_path("mlperf_tiny/resnet8/resnet8_float.onnx")
    quantise(source, {"input_1": _images()}, path, fmt=request.param)
    return path


def _named(model: onnx.ModelProto, graph: Graph) -> dict[str, str]:
    """What the graph calls each quantised tensor that an operator of the file makes."""
    quantises = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    plain = [n.op_type.removeprefix("QLinear").removeprefix("Q") for n in model.graph.node]
    made = [
        quantises.get(n.output[0], n.output[0])
        for n, op in zip(model.graph.node, plain, strict=True)
        if op in OPERATORS
    ]
    computed = [t.output for t in graph.tasks if t.kind not in ("reshape", "lookup", "softmax")]
    return dict(zip(made, [*computed, *graph.outputs], strict=True))


def _reference(path: Path, graph: Graph, *, integers: bool) -> Iterator[dict[str, np.ndarray]]:
    """Per image, every tensor of ``graph`` as ONNX Runtime computes it.

    With ``integers``, its integer kernels serve QDQ models too; on x86 they do not by default.
    """
    model = onnx.load(path)
    names = _named(model, graph)
    present = {info.name for info in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", str(int(integers)))
    run = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    ).run
    for image in _images():
        arrays = run(list(names), {"input_1": image[np.newaxis]})
        yield {
            key: array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
            for key, array in zip(names.values(), arrays, strict=True)
        }


def _inputs(graph: Graph) -> list[dict[str, np.ndarray]]:
    (name,) = graph.inputs
    return [{name: held(graph.tensors[name], image[np.newaxis])} for image in _images()]


def _steps(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.fixture(scope="module")
def exact() -> None:
    """Skips on processors on which ONNX Runtime's integer sums saturate at 16 bits."""
    net = Net()
    x = helper.make_tensor_value_info("x", TensorProto.INT8, (4, 64))
    net.inputs.append(x)
    y = net.node("MatMulInteger", ["x", net.constant(np.full((64, 4), 127), np.int8)])
    (sums,) = session(net.model([y], TensorProto.INT32)).run(
        [y], {"x": np.full((4, 64), -128, np.int8)}
    )
    if np.any(sums != -128 * 127 * 64):
        pytest.skip("ONNX Runtime's integer sums saturate on this processor")


def test_every_tensor_is_within_a_step_of_integer_kernels_end_to_end(quantised, exact):
    graph = load(quantised)
    reference = _reference(quantised, graph, integers=True)
    for inputs, expected in zip(_inputs(graph), reference, strict=True):
        computed = golden.run(graph, inputs)
        for name, array in expected.items():
            tensor = graph.tensors[name]
            assert _steps(computed[name], held(tensor, array)) <= 1, name


def test_every_operator_is_within_a_step_of_float_kernels_given_their_operands(quantised):
    graph = load(quantised)
    reference = _reference(quantised, graph, integers=False)
    for inputs, expected in zip(_inputs(graph), reference, strict=True):
        values = dict(inputs)
        for task in graph.tasks:
            computed = golden.run_task(graph, task, [values[name] for name in task.inputs])
            values[task.output] = computed
            if task.output in expected:
                values[task.output] = held(graph.tensors[task.output], expected[task.output])
                assert _steps(computed, values[task.output]) <= 1, task.name


def test_rtl_is_within_a_step_of_integer_kernels_at_the_cycles_predicted(quantised, exact):
    graph = load(quantised)
    compiled = compile_graph(graph, Target(144))
    assert compiled.machine.fields["epilogue"]["even"].constant == 1
    simulator = build(
        verilog(compiled.machine.accelerator()), channels=1,
        data_bytes=compiled.schedule.axi_bytes, memory_bytes=memory_bytes(compiled.schedule),
    )  # fmt: skip
    inputs = _inputs(graph)[:2]
    parts = (simulator, compiled.machine, compiled.schedule, compiled.program, graph)
    reference = _reference(quantised, graph, integers=True)
    (output,) = graph.outputs
    for run, arrays, expected in zip(execute(*parts, inputs), inputs, reference, strict=False):
        np.testing.assert_array_equal(run.outputs[output], golden.run(graph, arrays)[output])
        wanted = held(graph.tensors[output], expected[output])
        assert _steps(run.outputs[output], wanted) <= 1
        assert run.cycles == compiled.prediction.cycles
