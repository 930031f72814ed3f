"""Scales and zero points of ONNX nodes, and the two operators that apply them."""

from collections.abc import Callable, Iterable
from math import prod
from typing import TypeVar

import numpy as np
import onnx

from . import onnx_file
from .builder import Activation, Quantisation
from .onnx_file import LARGEST, Node
from .onnx_values import Model, Pointwise, Real, Value, Weights, dequantised

__all__ = [
    "HANDLERS",
    "Handlers",
    "all_axes",
    "bias_of",
    "listed",
    "one_axis",
    "quantisation",
    "scaled",
    "scaled_weights",
    "sized",
]

Handler = Callable[[Model, Node], "Value | list[Value]"]
_H = TypeVar("_H", bound=Handler)


class Handlers(dict[str, Handler]):
    """Functions that lower a node, by its operator."""

    def of(self, *ops: str) -> Callable[[_H], _H]:
        """Decorator: the function lowers nodes of these operators."""

        def register(handler: _H) -> _H:
            self.update(dict.fromkeys(ops, handler))
            return handler

        return register


HANDLERS = Handlers()


def one_axis(node: Node, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise node.error(f"axis {axis} does not exist in a tensor of {rank} dimensions")
    return axis % rank


def all_axes(node: Node, axes: Iterable[int], rank: int) -> tuple[int, ...]:
    found = tuple(one_axis(node, axis, rank) for axis in axes)
    if len(set(found)) != len(found):
        raise node.error(f"axes {found} name an axis twice")
    return found


def listed(model: Model, node: Node, attribute: str, index: int) -> tuple[int, ...] | None:
    """Integers that newer operator sets take as an input and older ones as an attribute."""
    if node.input(index):
        return model.integers(node, index)
    return node.integers(attribute, None)


def sized(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(n < 1 for n in shape):
        raise node.error(f"it makes an empty tensor of shape {shape}")
    if prod(shape) > LARGEST:
        raise node.error(f"it makes a tensor of {prod(shape)} elements, more than {LARGEST}")
    return shape


def _scale(node: Node, scale: np.ndarray, name: str) -> np.ndarray:
    if scale.dtype.kind != "f":
        raise node.error(f"scale '{name}' must be floating point, not {scale.dtype}")
    if not (scale.size and np.isfinite(scale).all() and (scale > 0).all()):
        raise node.error(
            f"scale '{name}' must be finite and greater than zero; calibrate the model again"
        )
    return scale.astype(np.float64)


def parameters(model: Model, node: Node, at: int) -> tuple[np.ndarray, np.ndarray | None]:
    found = model.value(node, at)
    if not isinstance(found, np.ndarray):
        raise node.error(
            "its scale is computed at run time; dynamic quantisation is not supported, use static "
            "quantisation (`intarsia quantize`)"
        )
    zero = model.constant(node, at + 1)
    return _scale(node, found, node.input(at)), zero


def quantisation(model: Model, node: Node, at: int, dtype: str = "uint8") -> Quantisation:
    """Per-tensor parameters in inputs ``at`` and ``at + 1``; type ``dtype`` without the latter."""
    scale, zero = parameters(model, node, at)
    if scale.size != 1 or (zero is not None and zero.size != 1):
        raise node.error("an activation must have one scale; quantise activations per tensor")
    kind = str(zero.dtype) if zero is not None else dtype
    if kind not in ("int8", "uint8"):
        raise node.error(f"an activation of type {kind} is not supported; quantise to int8")
    offset = 128 if kind == "uint8" else 0
    point = int(zero.ravel()[0]) if zero is not None else 0
    return Quantisation(float(scale.ravel()[0]), point - offset, offset)


def along(node: Node, v: np.ndarray, rank: int, axis: int, size: int) -> np.ndarray:
    """A per-tensor or per-channel parameter, shaped to broadcast against ``rank`` axes."""
    if v.size == 1:
        return v.reshape([1] * rank)
    if v.ndim != 1 or v.size != size:
        raise node.error(
            "its scale fits neither the whole tensor nor one axis; quantise per tensor or per "
            "channel"
        )
    return v.reshape([-1 if i == axis else 1 for i in range(rank)])


def weights_of(model: Model, node: Node, q: np.ndarray, at: int, axis: int) -> Weights:
    scale, zero = parameters(model, node, at)
    if q.dtype.kind not in "iu" or q.dtype.itemsize not in (1, 4) or q.dtype == np.uint32:
        raise node.error(f"a constant of type {q.dtype} is not supported; use int8 weights")
    axis = one_axis(node, axis, q.ndim) if scale.size > 1 else 0
    size = q.shape[axis] if q.ndim else 1
    integers = q.astype(np.int64)
    if zero is not None:
        integers = integers - along(node, zero.astype(np.int64), q.ndim, axis, size)
    return Weights(integers, along(node, scale, q.ndim, axis, size))


@HANDLERS.of("QuantizeLinear")
def _quantize_linear(model: Model, node: Node) -> Value:
    x = model.value(node, 0)
    if node.integer("block_size", 0):
        raise node.error("blocked quantisation is not supported; quantise per tensor or channel")
    if isinstance(x, Real):
        code = node.integer("output_dtype", onnx.TensorProto.UINT8)
        dtype = onnx_file.type_name(code).lower()
        return model.quantise(x, quantisation(model, node, 1, dtype))
    if isinstance(x, Activation):
        raise node.error("its input is quantised already; export the model again")
    real = x.real if isinstance(x, Weights) else x.astype(np.float64)
    scale, zero = parameters(model, node, 1)
    zero = np.zeros(1, np.uint8) if zero is None else zero
    axis = one_axis(node, node.integer("axis", 1), real.ndim) if scale.size > 1 else 0
    size = real.shape[axis] if real.ndim else 1
    scale = along(node, scale, real.ndim, axis, size)
    points = along(node, zero.astype(np.float64), real.ndim, axis, size)
    bounds = np.iinfo(zero.dtype)
    return np.clip(np.rint(real / scale) + points, bounds.min, bounds.max).astype(zero.dtype)


@HANDLERS.of("DequantizeLinear")
def _dequantize_linear(model: Model, node: Node) -> Value:
    x = model.value(node, 0)
    if node.integer("block_size", 0):
        raise node.error("blocked quantisation is not supported; quantise per tensor or channel")
    if isinstance(x, Activation):
        to = quantisation(model, node, 1, "uint8" if x.quantisation.offset else "int8")
        if to.offset != x.quantisation.offset:
            raise node.error("its zero point and its input must have the same type")
        return dequantised(node, model.builder.read_as(x, to))
    if isinstance(x, np.ndarray):
        return weights_of(model, node, x, 1, node.integer("axis", 1))
    raise node.error("its input is not quantised; export the model again")


def scaled(model: Model, node: Node, at: int) -> Pointwise:
    """The activation in input ``at`` with its scale and zero point in the two after it."""
    x = model.value(node, at)
    if not isinstance(x, Activation):
        raise node.error(f"its input '{node.input(at)}' must be an int8 or uint8 activation")
    to = quantisation(model, node, at + 1, "uint8" if x.quantisation.offset else "int8")
    return dequantised(node, model.builder.read_as(x, to))


def scaled_weights(model: Model, node: Node, at: int, axis: int) -> Weights:
    q = model.value(node, at)
    if not isinstance(q, np.ndarray):
        raise node.error(
            f"its input '{node.input(at)}' must be constant weights; a product of two "
            "activations is not supported"
        )
    return weights_of(model, node, q, at + 1, axis)


def bias_of(node: Node, bias: np.ndarray, outputs: int) -> np.ndarray:
    bias = bias.astype(np.float64)
    if not np.isfinite(bias).all():
        raise node.error("its bias is not finite; export the model again")
    if bias.size not in (1, outputs) or (bias.ndim and bias.shape[-1] != bias.size):
        raise node.error(f"a bias of shape {bias.shape} does not suit {outputs} outputs")
    return np.broadcast_to(bias.ravel(), outputs)
