"""Small ONNX models for tests, and their comparison with ONNX Runtime."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import gen.frontends.onnx as frontend
from gen.graph import Graph, Tensor
from sim import golden

__all__ = ["DATA", "MICROSOFT", "Net", "compare", "held", "ints", "kinds", "load", "session"]

ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime, the reference for ONNX")

DATA = Path(__file__).resolve().parents[1] / "intarsia" / "data"
MICROSOFT = "com.microsoft"
LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


@dataclass
class Net:
    """An ONNX model under construction, with QuantizeLinear pairs added on request.

    ``dtype`` is the type of activations, ``opset`` the version of the standard operators.
    """

    dtype: str = "int8"
    opset: int = 20
    seed: int = 1
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    feeds: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def name(self, stem: str) -> str:
        return f"{stem}_{len(self.nodes)}_{len(self.constants)}"

    def constant(self, value: Any, dtype: Any = None) -> str:
        name = self.name("const")
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> Any:
        made = [self.name(f"{op.lower()}_out{i}") for i in range(outputs)]
        domain = attributes.pop("domain", "")
        self.nodes.append(
            helper.make_node(op, inputs, made, name=self.name(op), domain=domain, **attributes)
        )
        return made[0] if outputs == 1 else made

    def parameters(self, scale: Any, zero: Any, dtype: str | None = None) -> list[str]:
        return [self.constant(scale, np.float32), self.constant(zero, dtype or self.dtype)]

    def integers(self, shape: tuple[int, ...], scale: float = 0.05, zero: int = 3) -> list[str]:
        """A float input quantised: names of its integers, scale and zero point."""
        low, high = LIMITS[self.dtype]
        zero = zero + 128 if self.dtype == "uint8" else zero
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        codes = self.rng.integers(low, high + 1, shape)
        self.feeds[name] = ((codes - zero) * np.float32(scale)).astype(np.float32)
        parameters = self.parameters(scale, zero)
        return [self.node("QuantizeLinear", [name, *parameters]), *parameters]

    def real(self, shape: tuple[int, ...], scale: float = 0.05, zero: int = 3) -> str:
        return self.node("DequantizeLinear", self.integers(shape, scale, zero))

    def quantised_weights(
        self, shape: tuple[int, ...], axis: int | None = None, dtype: str = "int8", zero: int = 0
    ) -> list[str]:
        low, high = LIMITS[dtype]
        codes = self.rng.integers(low, high + 1, shape)
        count = 1 if axis is None else shape[axis]
        scales = self.rng.uniform(0.002, 0.02, count).astype(np.float32)
        zeros = np.full(count, zero)
        if axis is None:
            return [self.constant(codes, dtype), *self.parameters(scales[0], zero, dtype)]
        return [self.constant(codes, dtype), *self.parameters(scales, zeros, dtype)]

    def weights(self, shape: tuple[int, ...], axis: int | None = None, **options: Any) -> str:
        names = self.quantised_weights(shape, axis, **options)
        return self.node("DequantizeLinear", names, **({} if axis is None else {"axis": axis}))

    def model(self, outputs: list[str], kind: int) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def calibrated(self, y: str) -> tuple[np.float32, int]:
        """Scale and zero point that suit the float tensor ``y``."""
        (values,) = session(self.model([y], TensorProto.FLOAT)).run([y], self.feeds)
        low, high = min(values.min(), 0), max(values.max(), 0.01)
        scale = np.float32((high - low) / 255)
        first, last = LIMITS[self.dtype]
        return scale, int(np.clip(np.rint(first - low / scale), first, last))

    def quantise(self, y: str, scale: Any = None, zero: int = 0) -> str:
        """QuantizeLinear of a float tensor, calibrated unless ``scale`` is given."""
        if scale is None:
            scale, zero = self.calibrated(y)
        return self.node("QuantizeLinear", [y, *self.parameters(scale, zero)])

    def requantise(self, y: str) -> str:
        scale, zero = self.calibrated(y)
        parameters = self.parameters(scale, zero)
        q = self.node("QuantizeLinear", [y, *parameters])
        return self.node("DequantizeLinear", [q, *parameters])

    def integer_model(self, outputs: list[str]) -> onnx.ModelProto:
        kind = TensorProto.INT8 if self.dtype == "int8" else TensorProto.UINT8
        return self.model(outputs, kind)


def session(model: onnx.ModelProto) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def load(model: onnx.ModelProto, folder: Path) -> Graph:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return frontend.load(path)


def arranged(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    return array if tensor.layout is None else array.transpose(tensor.layout)


def held(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    """The file's float or integer array as the graph tensor's int8."""
    if array.dtype == np.float32:
        codes = np.rint(array / np.float32(tensor.scale)) + tensor.zero_point
        array = np.clip(codes, -128, 127)
    else:
        array = array.astype(int) - tensor.offset
    return arranged(tensor, array).astype(np.int8)


def compare(net: Net, outputs: list[str], folder: Path, steps: int = 1, model: Any = None) -> Graph:
    """Load the net, run golden and ONNX Runtime, and assert that they agree within ``steps``."""
    model = model or net.integer_model(outputs)
    expected = session(model).run(outputs, net.feeds)
    graph = load(model, folder)
    inputs = {name: held(graph.tensors[name], net.feeds[name]) for name in graph.inputs}
    results = golden.run(graph, inputs)
    for name, want in zip(outputs, expected, strict=True):
        codes = held(graph.tensors[name], want)
        assert results[name].shape == codes.shape
        error = np.abs(results[name].astype(int) - codes.astype(int))
        assert error.max() <= steps, f"{name}: {error.max()} steps, {(error > 0).mean():.1%} differ"
        assert np.ptp(codes.astype(int)) > 20 or codes.size < 8, (
            "the test must exercise the output's range"
        )
    return graph


def kinds(graph: Graph) -> list[str]:
    return [task.kind for task in graph.tasks]


def ints(net: Net, values: list[int]) -> str:
    return net.constant(values, np.int64)
