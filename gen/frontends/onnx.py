"""Quantised ONNX models to :class:`~gen.graph.Graph`, in QDQ and in QOperator form.

Float values between a DequantizeLinear and the next QuantizeLinear are held as descriptions
(:class:`~gen.frontends.onnx_values.Real`) and become integer tasks when the QuantizeLinear states
their scale. A QLinear operator is the same path with its own scales. Whatever happens element by
element between two quantised tensors becomes one table, computed in float64 and quantised as ONNX
states it.

Images are held as (1, H, W, C). Transposes and reshapes of the file move no data until a task
needs another order; a flattened image in front of a Gemm permutes the Gemm's weights instead.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from ..errors import UserError
from ..graph import Graph, Tensor
from . import (
    onnx_elementwise,
    onnx_file,
    onnx_products,
    onnx_quantisation,
    onnx_shapes,
    onnx_windows,
    qonnx,
)
from .arrangement import Arrangement
from .builder import FULL, Activation, Builder, Quantisation
from .onnx_file import LARGEST, Node
from .onnx_quantisation import quantisation
from .onnx_values import ADVICE, MOVES, Deferred, Model, Pointwise, Real, Value, Weights
from .onnx_windows import channels_last

__all__ = ["OPERATORS", "load"]

_FOLDABLE = frozenset(
    [
        *("Add", "Cast", "Concat", "Div", "Floor", "Gather", "Identity", "Mul", "Reshape"),
        *("Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
    ]
)
_WINDOWED = frozenset(
    [
        *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool"),
        *("GlobalMaxPool", "MaxPool", "QLinearAveragePool", "QLinearConv"),
        "QLinearGlobalAveragePool",
    ]
)


_HANDLERS = {
    **onnx_quantisation.HANDLERS,
    **onnx_shapes.HANDLERS,
    **onnx_windows.HANDLERS,
    **onnx_products.HANDLERS,
    **onnx_elementwise.HANDLERS,
    **qonnx.HANDLERS,
}

OPERATORS = frozenset(_HANDLERS)


def load(path: str | os.PathLike[str]) -> Graph:
    """The graph of a quantised ONNX model.

    Parameters
    ----------
    path
        A model with int8 or uint8 activations, one scale per tensor, in QDQ form (float operators
        between DequantizeLinear and QuantizeLinear), QOperator form (QLinearConv and others), or
        QONNX (Quant, BipolarQuant, Trunc).
        A symbolic first dimension of an input is taken as a batch of 1.

    Returns
    -------
    Graph
        Inputs and outputs have the file's names. Float ones become the integers next to them,
        and images (1, C, H, W) become (1, H, W, C): see ``scale``, ``zero_point``, ``offset`` and
        ``layout`` of :class:`~gen.graph.Tensor`.

    Raises
    ------
    UserError
        If the file cannot be read or is not quantised, or naming the first node that cannot be
        served.
    """
    try:
        return _load(path)
    except UserError as error:
        # Names in the file may hold line breaks.
        raise UserError(" ".join(str(error).split())) from error


def _load(path: str | os.PathLike[str]) -> Graph:
    proto = onnx_file.read(path)
    _check_quantised(proto, path)
    outputs = [info.name for info in proto.graph.output]
    if not outputs:
        raise UserError(f"'{path}' has no outputs; export the model again")
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [info for info in proto.graph.input if info.name not in constants]
    model = Model(Builder({info.name for info in inputs} | set(outputs)))
    for tensor in proto.graph.initializer:
        model.values[tensor.name] = onnx_file.array(tensor)
    pairs = list(zip(onnx_file.nodes(proto), proto.graph.node, strict=True))
    for node, _ in pairs:
        if node.op == "Constant" and node.outputs:
            model.values[node.outputs[0]] = _constant_node(node)
    for info in inputs:
        model.values[info.name] = _input(model, proto.graph, info)
    for node, node_proto in pairs:
        if node.op == "Constant":
            continue
        try:
            made = _lower_node(model, node, node_proto)
        except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
            raise node.error(f"it is malformed ({error}); export the model again") from error
        for name, value in zip(node.outputs, made, strict=False):
            if name in model.values:
                raise node.error(f"it makes '{name}' a second time; export the model again")
            model.values[name] = value
    found = {name: _output(model, name) for name in outputs}
    graph = model.builder.finish(onnx_file.identifier(Path(path).stem), found)
    order = {info.name: i for i, info in enumerate(inputs)}
    graph = replace(graph, inputs=tuple(sorted(graph.inputs, key=order.__getitem__)))
    graph.check()
    return graph


def _constant_node(node: Node) -> np.ndarray:
    if (tensor := node.tensor("value")) is not None:
        return tensor
    if node.has("value_float"):
        return np.array(node.number("value_float", 0.0), np.float32)
    if node.has("value_int"):
        return np.array(node.integer("value_int", 0), np.int64)
    if (floats := node.numbers("value_floats")) is not None:
        return np.array(floats, np.float32)
    if (ints := node.integers("value_ints", None)) is not None:
        return np.array(ints, np.int64)
    raise node.error("only numeric constants are supported")


def _folded(model: Model, node: Node, proto: onnx.NodeProto, version: int) -> list[Value] | None:
    """Outputs of a node of constants alone, such as exporters write to compute shapes."""
    if node.op not in _FOLDABLE:
        return None
    feeds = {name: model.values.get(name) for name in node.inputs if name}
    arrays = {name: v for name, v in feeds.items() if isinstance(v, np.ndarray)}
    if len(arrays) != len(feeds) or sum(v.size for v in arrays.values()) > LARGEST:
        return None
    graph = onnx.helper.make_graph(
        [proto],
        "fold",
        [onnx.helper.make_empty_tensor_value_info(name) for name in arrays],
        [onnx.helper.make_empty_tensor_value_info(name) for name in node.outputs],
    )
    opset = onnx.helper.make_opsetid("", version)
    single = onnx.helper.make_model(graph, opset_imports=[opset])
    try:
        found = ReferenceEvaluator(single).run(None, arrays)
    except Exception as error:  # whatever NumPy and the evaluator raise on malformed constants
        raise node.error("its constants do not suit it; export the model again") from error
    return [np.asarray(v) for v in found]


def _feeds(graph: onnx.GraphProto, name: str, stop: frozenset[str]) -> Iterable[tuple[Any, int]]:
    """Nodes that read tensor ``name`` or what operators outside ``stop`` make of it."""
    reached = {name}
    for proto in graph.node:
        hits = [i for i, tensor in enumerate(proto.input) if tensor in reached]
        for i in hits:
            yield proto, i
        if hits and proto.op_type not in stop:
            reached.update(proto.output)


_REORDERS = frozenset(
    ["Flatten", "Gemm", "MatMul", "QLinearMatMul", "ReduceMean", "Reshape", "Softmax", "Transpose"]
)


def _host_axes(graph: onnx.GraphProto, name: str, rank: int) -> tuple[int, ...] | None:
    """Axes in which an input is held: channels last where it is an image, else the file's."""
    if rank not in (3, 4):
        return None
    for proto, _ in _feeds(graph, name, _WINDOWED | _REORDERS):
        if proto.op_type in _WINDOWED:
            return channels_last(rank)
        if proto.op_type in _REORDERS:
            return None
    return channels_last(rank) if rank == 4 else None


def _input_quantisation(model: Model, graph: onnx.GraphProto, name: str, offset: int):
    """Scale of an integer input, which only the nodes that read it state."""
    stop = frozenset(p.op_type for p in graph.node) - MOVES
    for proto, i in _feeds(graph, name, stop):
        if proto.op_type == "DequantizeLinear" or proto.op_type.startswith(("QLinear", "QGemm")):
            node = Node(proto, 0, 0)
            return quantisation(model, node, i + 1, "uint8" if offset else "int8")
    return Quantisation(1.0, -offset, offset)


def _input(model: Model, graph: onnx.GraphProto, info: onnx.ValueInfoProto) -> Value:
    name = info.name
    shape = onnx_file.fixed_shape(info)
    code = info.type.tensor_type.elem_type
    axes = _host_axes(graph, name, len(shape))
    at = Arrangement.of(shape, axes)
    held = tuple(shape[axis] for axis in axes) if axes else shape

    def make(b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        if (held_as := b.quantisation(name)) == to:
            return Activation(name, at, to)
        if held_as is not None:
            raise UserError(
                f"input '{name}' is quantised with different scales; give it one QuantizeLinear"
            )
        b.add_input(Tensor(name, held, to.scale, to.zero_point, to.offset, axes))
        return Activation(name, at, to)

    if code in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        offset = 128 if code == onnx.TensorProto.UINT8 else 0
        return make(model.builder, _input_quantisation(model, graph, name, offset), FULL)
    if code in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
        return Deferred(name=onnx_file.identifier(name), shape=shape, make=make)
    raise UserError(f"input '{name}' has an unsupported element type; use float, int8 or uint8")


def _check_quantised(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    ops = {node.op_type for node in model.graph.node}
    for op in ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"):
        if op in ops:
            raise UserError(
                f"'{path}' is quantised dynamically ({op}); use static quantisation: "
                "`intarsia quantize`"
            )
    marks = ("QuantizeLinear", "DequantizeLinear", "QLinear", "QGemm", *qonnx.HANDLERS)
    integer = any(
        info.type.tensor_type.elem_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
        for info in model.graph.input
    )
    if not integer and not any(op.startswith(marks) for op in ops):
        raise UserError(
            f"'{path}' is a float model without quantisation; quantise it first: "
            f"`intarsia quantize {path}`"
        )


def _lower_node(model: Model, node: Node, proto: onnx.NodeProto) -> list[Value]:
    if not node.known_domain:
        raise node.error(f"operators of domain '{proto.domain}' are not supported")
    if node.op == "Shape":
        x = model.value(node, 0)
        shape = x.integers.shape if isinstance(x, Weights) else x.shape
        end = node.integer("end", len(shape))
        return [np.array(shape[node.integer("start", 0) : end], np.int64)]
    if (folded := _folded(model, node, proto, node.version)) is not None:
        return folded
    handler = _HANDLERS.get(node.op)
    if handler is None:
        raise node.error("this operator is not supported; replace it, or split the model before it")
    found = handler(model, node)
    made = found if isinstance(found, list) else [found]
    first = model.values.get(node.input(0))
    if isinstance(first, Activation) and (node.op in MOVES):
        to = first.quantisation
        return [model.quantise(v, to) if isinstance(v, Real) else v for v in made]
    return made


def _output(model: Model, name: str) -> Activation:
    value = model.values.get(name)
    if value is None:
        raise UserError(f"output '{name}' is made by no node; export the model again")
    if isinstance(value, Activation):
        return value
    if isinstance(value, Pointwise) and value.plain:
        return value.source
    if isinstance(value, Deferred) and value.native is not None:
        return model.quantise(value, value.native)
    if isinstance(value, Real):
        raise UserError(
            f"output '{name}' is not quantised after node '{value.name}'; {ADVICE}, or end the "
            "model before it"
        )
    raise UserError(f"output '{name}' is a constant; remove it from the model")
