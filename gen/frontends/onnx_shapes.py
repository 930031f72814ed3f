"""ONNX operators that move values: reshapes, transposes, slices, joins and padding."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from ..graph import Pad, Slice
from .arrangement import Arrangement
from .builder import FULL, Activation, Builder, Quantisation
from .onnx_file import Node
from .onnx_quantisation import Handlers, all_axes, listed, one_axis, quantisation, scaled, sized
from .onnx_values import Deferred, Model, Pointwise, Real, Value, Weights, dequantised

__all__ = ["HANDLERS", "rearranged", "reshaped", "transposed"]

HANDLERS = Handlers()


def rearranged(
    node: Node,
    x: Real,
    shape: tuple[int, ...],
    move: Callable[[Builder, Activation], Activation],
    b: Builder,
) -> Real:
    """``move`` applied to ``x``; it must give the same before and after quantisation."""
    if isinstance(x, Pointwise) and x.plain:
        return dequantised(node, move(b, x.source))

    def make(b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        return move(b, x.lower(b, to, clamp))

    return Deferred(name=node.name, shape=shape, low=x.low, high=x.high, make=make, clamps=True)


def reshaped(model: Model, node: Node, x: Real, shape: tuple[int, ...]) -> Real:
    if prod(shape) != prod(x.shape):
        raise node.error(f"cannot reshape {x.shape} to {shape}")

    def move(b: Builder, y: Activation) -> Activation:
        at = y.at.reshape(shape)
        if at is None:
            tensor = b.by_axes(y, tuple(range(len(y.shape))), y.shape)
            return Activation(tensor, Arrangement.of(shape), y.quantisation)
        return replace(y, at=at)

    return rearranged(node, x, shape, move, model.builder)


@HANDLERS.of("Reshape")
def _reshape(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    wanted = listed(model, node, "shape", 1)
    if wanted is None:
        raise node.error("its shape is missing; export the model again")
    keep = not node.integer("allowzero", 0)
    if keep and any(n == 0 for n in wanted[len(x.shape) :]):
        raise node.error(f"shape {wanted} copies a dimension that {x.shape} does not have")
    shape = [x.shape[i] if n == 0 and keep else n for i, n in enumerate(wanted)]
    if shape.count(-1) > 1 or any(n < -1 or n == 0 for n in shape):
        raise node.error(f"cannot reshape {x.shape} to {wanted}")
    if -1 in shape:
        rest = prod(n for n in shape if n != -1)
        shape[shape.index(-1)] = prod(x.shape) // rest
    return reshaped(model, node, x, tuple(shape))


@HANDLERS.of("Flatten")
def _flatten(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    axis = node.integer("axis", 1)
    axis = axis if axis == len(x.shape) else one_axis(node, axis, len(x.shape))
    return reshaped(model, node, x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


@HANDLERS.of("Squeeze")
def _squeeze(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    axes = listed(model, node, "axes", 1)
    if axes is None:
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
    axes = all_axes(node, axes, len(x.shape))
    return reshaped(
        model, node, x, tuple(n for i, n in enumerate(x.shape) if i not in axes) or (1,)
    )


@HANDLERS.of("Unsqueeze")
def _unsqueeze(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    axes = listed(model, node, "axes", 1) or ()
    axes = all_axes(node, axes, len(x.shape) + len(axes))
    shape = list(x.shape)
    for axis in sorted(axes):
        shape.insert(axis, 1)
    return reshaped(model, node, x, tuple(shape))


@HANDLERS.of("Transpose")
def _transpose(model: Model, node: Node) -> Value:
    found = model.value(node, 0)
    rank = found.integers.ndim if isinstance(found, Weights) else len(model.real(node, 0).shape)
    permutation = node.integers("perm", None) or tuple(reversed(range(rank)))
    if sorted(permutation) != list(range(rank)):
        raise node.error(f"{permutation} does not permute {rank} dimensions")
    if isinstance(found, Weights):
        return Weights(found.integers.transpose(permutation), found.scale.transpose(permutation))
    return transposed(model, node, model.real(node, 0), permutation)


def transposed(model: Model, node: Node, x: Real, permutation: tuple[int, ...]) -> Real:
    """``x`` with the file's axes permuted, which moves nothing."""
    shape = tuple(x.shape[axis] for axis in permutation)

    def move(b: Builder, y: Activation) -> Activation:
        return replace(y, at=y.at.transpose(permutation))

    return rearranged(node, x, shape, move, model.builder)


@HANDLERS.of("Identity", "Dropout", "Cast")
def _identity(model: Model, node: Node) -> Value | list[Value]:
    found = model.value(node, 0)
    if node.op == "Cast" and not isinstance(found, Real | Weights):
        raise node.error("a cast of integers is not supported; export the model without it")
    return [found]


@HANDLERS.of("Slice")
def _slice(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    rank = len(x.shape)
    starts = listed(model, node, "starts", 1)
    ends = listed(model, node, "ends", 2)
    if starts is None or ends is None:
        raise node.error("its starts or ends are missing; export the model again")
    axes = all_axes(node, listed(model, node, "axes", 3) or tuple(range(len(starts))), rank)
    steps = model.integers(node, 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise node.error("starts, ends, axes and steps must have the same length")
    if any(step < 1 for step in steps):
        raise node.error("steps must be positive; a reversed slice is not supported")
    first, step, shape = [0] * rank, [1] * rank, list(x.shape)
    for axis, start, end, by in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        low, high, _ = slice(start, end).indices(size)
        first[axis], step[axis], shape[axis] = low, by, -(-(high - low) // by)
    return _sliced(model, node, x, tuple(first), tuple(step), sized(node, tuple(shape)))


def _sliced(
    model: Model,
    node: Node,
    x: Real,
    first: tuple[int, ...],
    step: tuple[int, ...],
    shape: tuple[int, ...],
) -> Real:
    def move(b: Builder, y: Activation) -> Activation:
        if shape == y.shape:
            return y
        source, axes = b.aligned(y)
        tensor = b.emit(
            Slice,
            node.name,
            (source,),
            tuple(shape[axis] for axis in axes),
            y.quantisation,
            start=tuple(first[axis] for axis in axes),
            step=tuple(step[axis] for axis in axes),
        )
        return Activation(tensor, Arrangement.of(shape, axes), y.quantisation)

    return rearranged(node, x, shape, move, model.builder)


@HANDLERS.of("Split")
def _split(model: Model, node: Node) -> Value | list[Value]:
    x = model.real(node, 0)
    axis = one_axis(node, node.integer("axis", 0), len(x.shape))
    count, size = len(node.outputs), x.shape[axis]
    sizes = listed(model, node, "split", 1)
    if sizes is None:
        part = -(-size // count)
        sizes = (*[part] * (count - 1), size - part * (count - 1))
    if len(sizes) != count or sum(sizes) != size:
        raise node.error(f"cannot split {size} elements into {sizes}")
    parts: list[Value] = []
    for i, n in enumerate(sizes):
        first = tuple(sum(sizes[:i]) if a == axis else 0 for a in range(len(x.shape)))
        shape = tuple(n if a == axis else m for a, m in enumerate(x.shape))
        step = (1,) * len(shape)
        parts.append(_sliced(model, node, x, first, step, sized(node, shape)))
    return parts


@HANDLERS.of("Concat")
def _concat(model: Model, node: Node) -> Value:
    parts = [model.real(node, i) for i in range(len(node.inputs))]
    if any(isinstance(model.value(node, i), Activation) for i in range(len(parts))):
        scales = {p.source.quantisation for p in parts if isinstance(p, Pointwise)}
        if len(scales) > 1:
            raise node.error("it joins integers of different scales; use QLinearConcat")
    return _joined(model.builder, node, parts, node.integer("axis", 0))


def _joined(b: Builder, node: Node, parts: list[Real], axis: int) -> Real:
    first = parts[0].shape
    axis = one_axis(node, axis, len(first))
    for part in parts:
        if len(part.shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(part.shape, first, strict=True)) if i != axis
        ):
            raise node.error(f"cannot join shapes {[p.shape for p in parts]} along axis {axis}")
    total = sum(part.shape[axis] for part in parts)
    shape = sized(node, tuple(total if i == axis else n for i, n in enumerate(first)))

    def make(b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        held = [part.quantised(b, to) for part in parts]
        if len(held) == 1:
            return held[0]
        found = [b.aligned(x)[1] for x in held]
        identity = tuple(range(len(shape)))
        axes = next((a for a in found if a != identity), identity)
        names = [b.by_axes(x, axes, tuple(x.shape[axis] for axis in axes)) for x in held]
        tensor = b.join(node.name, names, axes.index(axis), to)
        return Activation(tensor, Arrangement.of(shape, axes), to)

    sources = [part.source for part in parts if isinstance(part, Pointwise) and part.plain]
    scales = {source.quantisation for source in sources}
    if len(sources) == len(parts) and len(scales) == 1:
        return dequantised(node, make(b, scales.pop(), FULL))
    return Deferred(name=node.name, shape=shape, make=make)


@HANDLERS.of("QLinearConcat")
def _qlinear_concat(model: Model, node: Node) -> Value:
    to = quantisation(model, node, 0)
    parts: list[Real] = [scaled(model, node, i) for i in range(2, len(node.inputs), 3)]
    return model.quantise(_joined(model.builder, node, parts, node.integer("axis", 0)), to)


@HANDLERS.of("Pad")
def _pad(model: Model, node: Node) -> Value:
    x = model.real(node, 0)
    rank = len(x.shape)
    if (mode := node.text("mode", "constant")) != "constant":
        raise node.error(f"mode '{mode}' is not supported; pad with a constant")
    amounts = listed(model, node, "pads", 1)
    axes = all_axes(node, model.integers(node, 3) or tuple(range(rank)), rank)
    if amounts is None or len(amounts) != 2 * len(axes) or min(amounts, default=0) < 0:
        raise node.error("it needs two pads per axis, none negative; use Slice to crop")
    filler = model.constant(node, 2)
    if filler is not None and filler.size != 1:
        raise node.error("it needs one value to pad with")
    value = float(filler.ravel()[0]) if filler is not None else node.number("value", 0.0)
    if isinstance(held := model.value(node, 0), Activation):
        value = float(held.quantisation.real(np.array(value - held.quantisation.offset)))
    width = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        width[axis] = (amounts[i], amounts[i + len(axes)])
    shape = sized(node, tuple(n + sum(w) for n, w in zip(x.shape, width, strict=True)))

    def make(b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        y = x.quantised(b, to)
        if shape == y.shape:
            return y
        source, order = b.aligned(y)
        tensor = b.emit(
            Pad,
            node.name,
            (source,),
            tuple(shape[axis] for axis in order),
            to,
            padding=tuple(width[axis] for axis in order),
            value=int(to.code(value)),
        )
        return Activation(tensor, Arrangement.of(shape, order), to)

    return Deferred(name=node.name, shape=shape, make=make)
