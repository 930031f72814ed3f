"""ONNX operators that work element by element, batch normalisation, and softmax."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf, prod
from typing import Any

import numpy as np

from ..graph import Add, Conv, Softmax
from ..quantise import add_parameters, softmax_parameters
from .arrangement import Arrangement
from .builder import CODES, Activation, Builder, Quantisation
from .onnx_file import Node
from .onnx_pointwise import BINARY, UNARY, unary
from .onnx_quantisation import Handlers, one_axis, quantisation, scaled, scaled_weights
from .onnx_values import ADVICE, Deferred, Linear, Model, Pointwise, Real, Value, Weights

__all__ = ["HANDLERS"]

HANDLERS = Handlers()

SOFTMAX = Quantisation(1 / 256, -128)


def _per_channel(node: Node, x: Real, axis: int, b: Builder) -> Linear:
    """``x`` as a depthwise 1x1 convolution, ready for a gain and a shift per index of ``axis``."""
    if isinstance(x, Linear):
        if x.axis != axis:
            raise node.error(f"its constant varies along axis {axis}, not along the channels")
        return x
    if not (isinstance(x, Pointwise) and x.plain):
        raise node.error(f"its input '{x.name}' is not quantised; {ADVICE}")
    source, channels = x.source, x.shape[axis]
    others = [i for i in range(len(x.shape)) if i != axis]
    rows = prod(x.shape[i] for i in others)
    image = (1, 1, rows, channels)
    if len(x.shape) == 4 and x.shape[0] == 1 and axis == 1:
        image = (1, *x.shape[2:], channels)
    axes = (*others, axis)

    def emit(b: Builder, to: Quantisation, fields: dict[str, Any]) -> Activation:
        tensor = b.emit(
            Conv, node.name, (b.by_axes(source, axes, image),), image, to, groups=channels, **fields
        )
        return Activation(tensor, Arrangement.of(x.shape, axes), to)

    # A weight of 64 lets the bias resolve 1/64 of an input step.
    return Linear(
        name=node.name,
        shape=x.shape,
        node=node,
        source=source,
        weights=np.full((channels, 1, 1, 1), 64),
        scale=np.full(channels, 1 / 64),
        bias=np.zeros(channels),
        axis=axis,
        emit=emit,
    )


def _with_constant(model: Model, node: Node, x: Real, c: np.ndarray, swapped: bool) -> Value:
    """A binary operator of an activation and a constant, which comes first where ``swapped``."""
    c = c.astype(np.float64)
    if not np.isfinite(c).all():
        raise node.error("its constant is not finite; export the model again")
    if np.broadcast_shapes(x.shape, c.shape) != x.shape:
        raise node.error(f"a constant of shape {c.shape} does not fit into {x.shape}")
    c = c.reshape([1] * (len(x.shape) - c.ndim) + list(c.shape))
    if isinstance(x, Pointwise) and c.size == 1:
        operator, scalar = BINARY[node.op], c.ravel()
        return x.applied(node, lambda v: operator(scalar, v) if swapped else operator(v, scalar))
    if node.op in ("Max", "Min") and c.size == 1:
        bound = float(c.ravel()[0])
        return x.clamped(bound, inf) if node.op == "Max" else x.clamped(-inf, bound)
    axes = [i for i, n in enumerate(c.shape) if n > 1]
    linear_op = node.op in ("Add", "Sub", "Mul") or (node.op == "Div" and not swapped)
    if len(axes) > 1 or not linear_op:
        raise node.error(
            f"a constant of shape {c.shape} is not supported; use one number, or one per channel "
            "with Add, Sub, Mul or Div"
        )
    if isinstance(x, Linear) and not axes:
        linear = x
    elif axes:
        linear = _per_channel(node, x, axes[0], model.builder)
    else:
        raise node.error(f"its input '{x.name}' is not quantised; {ADVICE}")
    if node.op in ("Add", "Sub"):
        sign = -1.0 if node.op == "Sub" else 1.0
        gain = np.array(sign if swapped else 1.0)
        return linear.affine(node, gain, c if swapped else sign * c)
    with np.errstate(divide="ignore"):
        gain = c if node.op == "Mul" else 1 / c
    if not np.isfinite(gain).all():
        raise node.error("it divides by zero")
    return linear.affine(node, gain, np.zeros(1))


def _combined(b: Builder, node: Node, x: Pointwise, y: Pointwise) -> Pointwise | None:
    """A binary operator of two functions of one tensor, as one function of that tensor."""
    if x.source.at != y.source.at:
        return None
    lineage = dict(b.ancestry(y.source.tensor))
    for root, codes in b.ancestry(x.source.tensor):
        if root in lineage:
            left, right = x.values[codes + 128], y.values[lineage[root] + 128]
            held = b.tensors[root]
            q = Quantisation(held.scale, held.zero_point, held.offset)
            source = Activation(root, x.source.at, q)
            joined = replace(x, source=source, values=left)
            return joined.applied(node, partial(_of_both, BINARY[node.op], right))
    return None


def _of_both(
    operator: Callable[[np.ndarray, np.ndarray], np.ndarray], right: np.ndarray, left: np.ndarray
) -> np.ndarray:
    return operator(left, right)


def _sum(node: Node, x: Activation, y: Activation) -> Real:
    if x.shape != y.shape:
        raise node.error(
            f"cannot add activations of shapes {x.shape} and {y.shape}; make them equal"
        )

    def make(b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        first, second = x, y
        natural = tuple(range(len(x.shape)))
        _, axes_x = b.aligned(x)
        model, other = (second, first) if axes_x == natural else (first, second)
        tensor, axes = b.aligned(model)
        model = Activation(tensor, Arrangement.of(x.shape, axes), model.quantisation)
        other = b.alike(other, model)
        try:
            rescale = add_parameters(model.quantisation.scale, other.quantisation.scale, to.scale)
        except ValueError as error:
            raise node.error(str(error)) from error
        tensor = b.emit(
            Add,
            node.name,
            (model.tensor, other.tensor),
            b.tensors[model.tensor].shape,
            to,
            rescale_a=rescale[0],
            rescale_b=rescale[1],
            rescale_out=rescale[2],
            clamp=clamp,
            even=True,
        )
        return Activation(tensor, model.at, to)

    return Deferred(name=node.name, shape=x.shape, make=make, clamps=True)


def _binary_of(model: Model, node: Node, x: Real, y: Real) -> Value:
    b = model.builder
    if isinstance(x, Pointwise) and isinstance(y, Pointwise):
        if (both := _combined(b, node, x, y)) is not None:
            return both
        if node.op in ("Add", "QLinearAdd", "Sub") and x.plain and y.plain:
            second = y.source
            if node.op == "Sub":
                # -v is held exactly by the complement of its code.
                q = second.quantisation
                to = replace(q, zero_point=-1 - q.zero_point)
                second = b.lookup(f"{node.name}_negate", "neg", second, -1 - CODES, to)
            return _sum(node, x.source, second)
    if node.op in ("Add", "QLinearAdd", "Sub"):
        raise node.error(f"an input of this sum is not quantised; {ADVICE}")
    raise node.error(
        "it combines two activations, which is not supported except for a sum; use a constant"
    )


@HANDLERS.of(*BINARY)
def _binary(model: Model, node: Node) -> Value:
    if len(node.inputs) != 2:
        raise node.error(f"it has {len(node.inputs)} inputs; export it with two")
    x, y = model.value(node, 0), model.value(node, 1)
    if isinstance(y, np.ndarray | Weights):
        c = y.real if isinstance(y, Weights) else y
        return _with_constant(model, node, model.real(node, 0), c, False)
    if isinstance(x, np.ndarray | Weights):
        c = x.real if isinstance(x, Weights) else x
        return _with_constant(model, node, model.real(node, 1), c, True)
    return _binary_of(model, node, model.real(node, 0), model.real(node, 1))


@HANDLERS.of("QLinearAdd", "QLinearMul")
def _qlinear_binary(model: Model, node: Node) -> Value:
    to = quantisation(model, node, 6)
    plain = node.renamed(node.op.removeprefix("QLinear"))
    sides = [model.value(node, 0), model.value(node, 3)]
    constant = [isinstance(side, np.ndarray) for side in sides]
    if all(constant):
        raise node.error("both its inputs are constants; export the model again")
    if any(constant):
        at = 3 * constant.index(True)
        c = scaled_weights(model, node, at, 0).real
        real = _with_constant(model, plain, scaled(model, node, 3 - at), c, at == 0)
    else:
        real = _binary_of(model, plain, scaled(model, node, 0), scaled(model, node, 3))
    assert isinstance(real, Real)
    return model.quantise(real, to)


@HANDLERS.of(*UNARY)
def _unary(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    if not isinstance(x, Pointwise):
        raise node.error(f"its input '{node.input(0)}' is not quantised; {ADVICE}")
    return x.applied(node, unary(node))


@HANDLERS.of("QLinearSigmoid", "QLinearLeakyRelu")
def _qlinear_unary(model: Model, node: Node) -> Value:
    plain = node.renamed(node.op.removeprefix("QLinear"))
    real = scaled(model, node, 0).applied(plain, unary(plain))
    return model.quantise(real, quantisation(model, node, 3))


@HANDLERS.of("Relu")
def _relu(model: Model, node: Node) -> Value:
    return _clamped(model.real(node, 0), node, 0.0, inf)


def _clamped(x: Real, node: Node, low: float, high: float) -> Real:
    if isinstance(x, Pointwise):
        return x.applied(node, lambda v: np.clip(v, low, high))
    return x.clamped(low, high)


@HANDLERS.of("Clip")
def _clip(model: Model, node: Node) -> Value:
    held = model.value(node, 0)
    bounds = []
    for index, name, default in ((1, "min", -inf), (2, "max", inf)):
        found = model.constant(node, index)
        if found is not None and found.size != 1:
            raise node.error(f"its {name} must be one number")
        value = node.number(name, default) if found is None else float(found.ravel()[0])
        if isinstance(held, Activation) and found is not None:
            q = held.quantisation
            value = float(q.real(np.array(value - q.offset)))
        bounds.append(value)
    if not bounds[0] <= bounds[1]:
        raise node.error(f"its min {bounds[0]} is not below its max {bounds[1]}")
    return _clamped(model.real(node, 0), node, *bounds)


@HANDLERS.of("PRelu")
def _prelu(model: Model, node: Node) -> Value:
    slope = model.constant(node, 1)
    x = model.real(node, 0)
    if slope is None or slope.size != 1 or not isinstance(x, Pointwise):
        raise node.error("only one slope for all channels of a quantised input is supported")
    return x.applied(node, lambda v: np.where(v < 0, slope.ravel() * v, v))


@HANDLERS.of("BatchNormalization")
def _batch_normalization(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    scale, bias, mean, variance = (model.constant(node, i) for i in range(1, 5))
    if scale is None or bias is None or mean is None or variance is None or len(x.shape) < 2:
        raise node.error("its scale, bias, mean or variance is missing; export the model again")
    channels = x.shape[1]
    if any(v.shape != (channels,) for v in (scale, bias, mean, variance)):
        raise node.error(f"its parameters must be of shape ({channels},)")
    spread = variance.astype(np.float64) + node.number("epsilon", 1e-5)
    if not (spread > 0).all():
        raise node.error("its variance must not be negative")
    gain = scale / np.sqrt(spread)
    return _per_channel(node, x, 1, model.builder).affine(node, gain, bias - mean * gain)


@HANDLERS.of("Softmax")
def _softmax(model: Model, node: Node) -> Value:
    coerces = node.version < 13
    axis = node.integer("axis", 1 if coerces else -1)
    return _softmax_of(model, node, model.held(node, 0), axis, coerces)


@HANDLERS.of("QLinearSoftmax")
def _qlinear_softmax(model: Model, node: Node) -> Value:
    x = scaled(model, node, 0).source
    coerces = node.integer("opset", 13) < 13
    real = _softmax_of(model, node, x, node.integer("axis", -1), coerces)
    return model.quantise(real, quantisation(model, node, 3))


def _softmax_of(model: Model, node: Node, x: Activation, axis: int, coerces: bool) -> Real:
    """Softmax along ``axis``; over it and all later ones where ``coerces``, as before opset 13."""
    axis = one_axis(node, axis, len(x.shape))
    try:
        parameters = softmax_parameters(x.quantisation.scale)
    except ValueError as error:
        raise node.error(str(error)) from error
    last = range(axis, len(x.shape)) if coerces else (axis,)

    def make(b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        inner = x.at.flat(tuple(last))
        outer = tuple(i for i in x.at.order if i not in inner)
        tail = tuple(i for i in x.at.order if i in inner)
        size = prod(x.shape[i] for i in last)
        shape = b.tensors[x.tensor].shape
        if x.at.order != (*outer, *tail) or shape[-1] != size:
            shape = (prod(x.shape) // size, size)
        source = b.place(x, (*outer, *tail), shape)
        multiplier, left_shift, diff_min = parameters
        tensor = b.emit(
            Softmax,
            node.name,
            (source,),
            shape,
            SOFTMAX,
            multiplier=multiplier,
            left_shift=left_shift,
            diff_min=diff_min,
        )
        made = Activation(tensor, replace(x.at, order=(*outer, *tail)), SOFTMAX)
        codes = np.clip(to.code(SOFTMAX.real(CODES)), *clamp)
        return b.lookup(f"{node.name}_requantise", "requantise", made, codes, to)

    return Deferred(name=node.name, shape=x.shape, make=make, clamps=True, native=SOFTMAX)
