"""ONNX's matrix products with constant weights."""

from math import prod
from typing import Any

import numpy as np

from ..graph import MatMul
from .arrangement import Arrangement
from .builder import Activation, Builder, Quantisation
from .onnx_file import Node
from .onnx_quantisation import Handlers, bias_of, quantisation, scaled, scaled_weights, sized
from .onnx_values import Linear, Model, Value, Weights

__all__ = ["HANDLERS"]

HANDLERS = Handlers()


def _product(node: Node, x: Activation, w: Weights, bias: np.ndarray) -> Linear:
    """``x @ w.T + bias``: weights (N, K), over the last axis of ``x``."""
    q = w.integers
    if q.ndim != 2 or q.shape[1] != x.shape[-1]:
        raise node.error(f"weights of shape {q.shape[::-1]} do not suit an input of {x.shape}")
    if w.scale.size > 1 and w.scale.shape[0] != q.shape[0]:
        raise node.error("its weights must be quantised per tensor or per output column")
    outputs = q.shape[0]
    shape = sized(node, (*x.shape[:-1], outputs))

    def emit(b: Builder, to: Quantisation, fields: dict[str, Any]) -> Activation:
        runs = x.at.runs()
        inner, outer = set(runs[-1]), [i for i in x.at.order if i not in runs[-1]]
        columns = [i for i in x.at.order if i in inner]
        if x.at.order[len(outer) :] != tuple(columns):
            columns = list(runs[-1])
        natural = outer == sorted(outer)
        lead = x.shape[:-1] if natural else (prod(x.shape[:-1]),)
        source = b.place(x, (*outer, *columns), (*lead, x.shape[-1]))
        weights = fields.pop("weights")
        if columns != list(runs[-1]):
            split = weights.reshape(outputs, *(x.at.factors[i] for i in runs[-1]))
            axes = [0, *(1 + i - runs[-1][0] for i in columns)]
            weights = split.transpose(axes).reshape(outputs, -1)
        tensor = b.emit(
            MatMul, node.name, (source,), (*lead, outputs), to, weights=weights, **fields
        )
        sizes = [x.at.factors[i] for i in range(len(x.at.factors)) if i not in inner]
        order = [sorted(outer).index(i) for i in outer]
        if outputs > 1:
            order.append(len(sizes))
            sizes.append(outputs)
        return Activation(tensor, Arrangement(shape, tuple(sizes), tuple(order)), to)

    return Linear(
        name=node.name,
        shape=shape,
        node=node,
        source=x,
        weights=q,
        scale=np.broadcast_to(w.scale.ravel(), outputs),
        bias=bias_of(node, bias, outputs),
        axis=len(shape) - 1,
        emit=emit,
    )


def _columns(node: Node, w: Weights) -> Weights:
    """(K, N) as (N, K); leading axes of size 1 dropped."""
    rank = w.integers.ndim
    if rank < 2 or prod(w.integers.shape[:-2]) != 1:
        raise node.error(
            f"weights of shape {w.integers.shape} are not supported; use a matrix of two dimensions"
        )
    scale = w.scale.reshape(w.scale.shape[-2:])
    return Weights(w.integers.reshape(w.integers.shape[-2:]).T, scale.T)


@HANDLERS.of("MatMul")
def _matmul(model: Model, node: Node) -> Value:
    if isinstance(model.value(node, 0), np.ndarray | Weights):
        raise node.error("constant weights must be its second input; transpose the product")
    x = model.held(node, 0)
    return _product(node, x, _columns(node, model.weights(node, 1)), np.zeros(1))


@HANDLERS.of("QLinearMatMul")
def _qlinear_matmul(model: Model, node: Node) -> Value:
    x, w = scaled(model, node, 0).source, scaled_weights(model, node, 3, -1)
    linear = _product(node, x, _columns(node, w), np.zeros(1))
    return model.quantise(linear, quantisation(model, node, 6))


def _gemm_of(node: Node, x: Activation, w: Weights, bias: np.ndarray) -> Linear:
    if node.integer("transA", 0):
        raise node.error("transA is not supported; transpose the activation before it")
    if len(x.shape) != 2:
        raise node.error(f"its input has shape {x.shape}, not two dimensions")
    w = w if node.integer("transB", 0) else _columns(node, w)
    alpha = node.number("alpha", 1.0)
    return _product(node, x, w, np.zeros(1)).affine(node, np.array(alpha), bias)


@HANDLERS.of("Gemm")
def _gemm(model: Model, node: Node) -> Value:
    bias = model.constant(node, 2)
    x, w = model.held(node, 0), model.weights(node, 1)
    shift = np.zeros(1) if bias is None else bias * node.number("beta", 1.0)
    outputs = w.integers.shape[0 if node.integer("transB", 0) else -1]
    return _gemm_of(node, x, w, bias_of(node, shift, outputs))


@HANDLERS.of("QGemm")
def _qgemm(model: Model, node: Node) -> Value:
    transposed = node.integer("transB", 0)
    x = scaled(model, node, 0).source
    w = scaled_weights(model, node, 3, 0 if transposed else 1)
    bias = model.constant(node, 6)
    unit = x.quantisation.scale * w.scale.ravel() * node.number("alpha", 1.0)
    shift = np.zeros(1) if bias is None else bias * unit
    outputs = w.integers.shape[0 if transposed else -1]
    linear = _gemm_of(node, x, w, bias_of(node, shift, outputs))
    if not node.input(7):
        return linear
    return model.quantise(linear, quantisation(model, node, 7))
