"""QONNX: the operators Quant, BipolarQuant and Trunc, of 1 to 8 bits.

Quant rounds ``x / scale + zero point`` into the integers of a bit width, and gives them as real
numbers again; so it is QuantizeLinear, Clip and DequantizeLinear in one. BipolarQuant gives
``scale`` or ``-scale`` by the sign, Trunc drops low bits of what is quantised already. See
Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .builder import CODES, FULL, Quantisation
from .onnx_file import Node
from .onnx_quantisation import Handlers
from .onnx_values import Linear, Model, Pointwise, Real, Value, Weights, dequantised

__all__ = ["HANDLERS"]

HANDLERS = Handlers()

MOST_BITS = 8
"""Of weights and activations; constants that are no weights may have 32."""

_ROUNDING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "DOWN": np.trunc,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


def _rounding(node: Node, default: str) -> Callable[[np.ndarray], np.ndarray]:
    mode = node.text("rounding_mode", default).upper()
    if mode not in _ROUNDING:
        raise node.error(f"rounding mode {mode} is not supported; use {', '.join(_ROUNDING)}")
    return _ROUNDING[mode]


def _parameter(model: Model, node: Node, index: int, name: str) -> np.ndarray:
    found = model.constant(node, index)
    if found is None or not found.size or not np.isfinite(found).all():
        raise node.error(f"its {name} must be constant and finite; export the model again")
    return found.astype(np.float64)


def _scale(model: Model, node: Node, index: int = 1) -> np.ndarray:
    found = _parameter(model, node, index, "scale")
    if (found <= 0).any():
        raise node.error("its scale must be greater than zero; export the model again")
    return found


def _range(node: Node, bits: float, most: int) -> tuple[int, int]:
    """Least and greatest integer of a bit width."""
    if bits != int(bits) or not 1 <= bits <= most:
        raise node.error(f"its bit width must be from 1 to {most}, not {bits:g}")
    size = 1 << int(bits)
    narrow = node.integer("narrow", 0)
    if node.integer("signed", 1):
        return -size // 2 + narrow, size // 2 - 1
    return 0, size - 1 - narrow


def _one(node: Node, value: np.ndarray, name: str) -> float:
    if value.size != 1:
        raise node.error(f"an activation must have one {name}; quantise activations per tensor")
    return float(value.ravel()[0])


def _shaped(node: Node, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A scale with as many axes as the weights that it belongs to."""
    wide = value.reshape([1] * (len(shape) - value.ndim) + list(value.shape))
    if wide.ndim != len(shape) or np.broadcast_shapes(wide.shape, shape) != shape:
        raise node.error(f"a scale of shape {value.shape} does not suit weights of {shape}")
    return wide


def _held(node: Node, scale: float, zero: float, low: int, high: int) -> Quantisation:
    """How integers from ``low`` to ``high`` are held as int8."""
    offset = 128 if high > FULL[1] else 0
    if zero != int(zero) or not low <= zero <= high:
        raise node.error(f"its zero point must be an integer from {low} to {high}, not {zero:g}")
    return Quantisation(scale, int(zero) - offset, offset)


@HANDLERS.of("Quant", "IntQuant")
def _quant(model: Model, node: Node) -> Value:
    x, scale = model.value(node, 0), _scale(model, node)
    zero = _parameter(model, node, 2, "zero point")
    bits = _one(node, _parameter(model, node, 3, "bit width"), "bit width")
    rounded = _rounding(node, "ROUND")
    if bits == 1 and node.integer("signed", 1) and not zero.any():
        return _sign(model, node, x, scale)
    if isinstance(x, np.ndarray | Weights):
        real = x.real if isinstance(x, Weights) else x.astype(np.float64)
        low, high = _range(node, bits, 32)
        point = _shaped(node, zero, real.shape)
        wide = _shaped(node, scale, real.shape)
        integers = np.rint(np.clip(rounded(real / wide + point), low, high) - point)
        return Weights(integers.astype(np.int64), wide)
    real = model.real(node, 0)
    low, high = _range(node, bits, MOST_BITS)
    to = _held(node, _one(node, scale, "scale"), _one(node, zero, "zero point"), low, high)
    if rounded is not np.rint:
        return _by_table(model, node, real, to, (low, high), rounded)
    bounds = ((end - to.offset - to.zero_point) * to.scale for end in (low, high))
    return dequantised(node, model.quantise(real.clamped(*bounds), to))


def _by_table(
    model: Model,
    node: Node,
    real: Real,
    to: Quantisation,
    bounds: tuple[int, int],
    rounded: Callable[[np.ndarray], np.ndarray],
) -> Value:
    """A rounding that no epilogue does, of a function of integers."""
    if not isinstance(real, Pointwise):
        raise node.error(
            "only rounding mode ROUND is supported behind a product; quantise with ROUND"
        )
    codes = rounded(real.values / to.scale + to.zero_point + to.offset)
    codes = np.clip(codes, *bounds).astype(int) - to.offset
    made = model.builder.lookup(node.name, real.function or "quant", real.source, codes, to)
    return dequantised(node, made)


@HANDLERS.of("BipolarQuant")
def _bipolar_quant(model: Model, node: Node) -> Value:
    return _sign(model, node, model.value(node, 0), _scale(model, node))


def _sign(model: Model, node: Node, x: Value, scale: np.ndarray) -> Value:
    """``scale`` where ``x`` is not negative, else ``-scale``; so too is a signed Quant of 1 bit."""
    if isinstance(x, np.ndarray | Weights):
        real = x.real if isinstance(x, Weights) else x
        return Weights(np.where(real >= 0, 1, -1), _shaped(node, scale, real.shape))
    real = model.real(node, 0)
    to = Quantisation(_one(node, scale, "scale"), 0)
    if isinstance(real, Pointwise):
        source, values = real.source, real.values
    elif isinstance(real, Linear) and real.low < 0 <= real.high:
        # The sign of a sum is that of its integers: a whole step below zero is what is negative.
        step = real.source.quantisation.scale
        floor = np.floor(real.bias / (step * real.scale))
        signed = replace(real, scale=np.full(len(floor), 1 / step), bias=floor)
        source = model.quantise(replace(signed, low=-1.0, high=0.0), Quantisation(1.0, 0))
        values = CODES
    else:
        raise node.error("a sign is only supported behind a product or a function of integers")
    codes = np.where(values >= 0, 1, -1)
    made = model.builder.lookup(node.name, "sign", source, codes, to)
    return dequantised(node, made)


@HANDLERS.of("Trunc")
def _trunc(model: Model, node: Node) -> Value:
    real, scale = model.real(node, 0), _one(node, _scale(model, node), "scale")
    if not isinstance(real, Pointwise):
        raise node.error("only what is quantised can be truncated; put a Quant before it")
    zero = _one(node, _parameter(model, node, 2, "zero point"), "zero point")
    given = _one(node, _parameter(model, node, 3, "bit width"), "bit width")
    last = len(node.inputs) - 1
    bits = _one(node, _parameter(model, node, last, "bit width"), "bit width")
    # The newer form states the scale of its output and clamps, the older drops bits of all of it.
    codes = np.rint(real.values / scale + zero)
    if last == 5:
        made = _one(node, _scale(model, node, 4), "scale")
        divisor = 2.0 ** np.round(np.log2(made / scale))
        low, high = _range(node, bits, MOST_BITS)
        codes = _rounding(node, "FLOOR")(np.clip(codes / divisor, low, high))
        to = _held(node, made, zero / divisor, low, high)
    else:
        codes = _rounding(node, "FLOOR")(codes / 2.0 ** (given - bits))
        to = _held(node, scale, zero, int(codes.min()), int(codes.max()))
    held = model.builder.lookup(node.name, "trunc", real.source, codes.astype(int) - to.offset, to)
    return dequantised(node, held)
