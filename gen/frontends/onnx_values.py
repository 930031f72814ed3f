"""What a name in an ONNX file stands for while it is lowered.

A constant is an array or :class:`Weights`; integers of the network are an
:class:`~gen.frontends.builder.Activation`; everything between a DequantizeLinear and the next
QuantizeLinear is a :class:`Real`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Protocol

import numpy as np

from ..quantise import quantise_multiplier
from .builder import CODES, FULL, Activation, Builder, Quantisation
from .onnx_file import Node

__all__ = [
    "ADVICE",
    "MOVES",
    "Deferred",
    "Linear",
    "Model",
    "Pointwise",
    "Product",
    "Real",
    "Value",
    "Weights",
    "dequantised",
]

ADVICE = "quantise the model again with this operator included (`intarsia quantize`)"

# Operators that ONNX also defines on integers, which keep their scale.
MOVES = frozenset(
    [
        *("Clip", "Concat", "Dropout", "Flatten", "Identity", "MaxPool", "Pad", "Reshape"),
        *("Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    ]
)


@dataclass(frozen=True, eq=False)
class Weights:
    """A dequantised constant: ``integers * scale``, ``scale`` of the same rank, broadcastable."""

    integers: np.ndarray
    scale: np.ndarray

    @property
    def real(self) -> np.ndarray:
        return self.integers * self.scale


@dataclass(frozen=True, eq=False, kw_only=True)
class Real:
    """A float value of the file, known only through what is quantised before and after it.

    Parameters
    ----------
    name : str
        For the tasks that it will become.
    shape : tuple of int
        In the file.
    low, high : float
        Clamp that applies after everything else.
    """

    name: str
    shape: tuple[int, ...]
    low: float = -inf
    high: float = inf

    def lower(self, b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        raise NotImplementedError

    def clamped(self, low: float, high: float) -> "Real":
        new_low = min(max(self.low, low), high)
        return replace(self, low=new_low, high=min(max(self.high, low), high))

    def quantised(self, b: Builder, to: Quantisation) -> Activation:
        return self.lower(b, to, (int(to.code(self.low)), int(to.code(self.high))))


@dataclass(frozen=True, eq=False, kw_only=True)
class Pointwise(Real):
    """``values[x + 128]`` of the integers ``source``: a dequantised tensor, or a function of it."""

    source: Activation
    values: np.ndarray
    function: str = ""

    @property
    def plain(self) -> bool:
        """Whether this is ``source`` dequantised and nothing else."""
        return np.array_equal(self.values, self.source.quantisation.real(CODES))

    def applied(self, node: Node, function: Callable[[np.ndarray], np.ndarray]) -> "Pointwise":
        with np.errstate(all="ignore"):
            values = function(self.values)
        label = "+".join(filter(None, (self.function, node.op.lower())))
        return replace(self, name=node.name, values=values, function=label)

    def clamped(self, low: float, high: float) -> "Pointwise":
        return replace(self, values=np.clip(self.values, low, high))

    def lower(self, b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        codes = np.clip(to.code(self.values), *clamp)
        return b.lookup(self.name, self.function or "requantise", self.source, codes, to)


@dataclass(frozen=True, eq=False, kw_only=True)
class Deferred(Real):
    """Any value that ``make`` can produce once its quantisation is known.

    ``clamps`` says that ``make`` applies the clamp itself; else a table does, afterwards.
    ``native`` is a quantisation that suits the value where the file states none.
    """

    make: Callable[[Builder, Quantisation, tuple[int, int]], Activation]
    clamps: bool = False
    native: Quantisation | None = None

    def lower(self, b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        if self.clamps:
            return self.make(b, to, clamp)
        made = self.make(b, to, FULL)
        return b.lookup(f"{self.name}_clamp", "clamp", made, np.clip(CODES, *clamp), to)


class Product(Protocol):
    """Emits a Conv or MatMul: ``emit(builder, to, fields)``, fields as in those tasks."""

    def __call__(self, b: Builder, to: Quantisation, fields: dict[str, Any]) -> Activation: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Real):
    """A weighted sum: output channel ``o`` is ``sum(weights[o] * x) * scale[o] + bias[o]``.

    ``weights`` are integers with the output channel first, ``scale`` and ``bias`` float64 (O,),
    ``axis`` is the file axis of the output channels.
    """

    node: Node
    source: Activation
    weights: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    axis: int
    emit: Product

    def affine(self, node: Node, gain: np.ndarray, shift: np.ndarray) -> "Linear":
        """``self * gain + shift`` per output channel; both (O,) or of one element."""
        if self.low != -inf or self.high != inf:
            raise node.error(
                f"its input '{self.name}' is not quantised after its activation; {ADVICE}"
            )
        gain, shift = (np.broadcast_to(v.ravel(), self.scale.shape) for v in (gain, shift))
        sign = np.sign(gain).astype(np.int64)
        weights = self.weights * sign.reshape(-1, *[1] * (self.weights.ndim - 1))
        scale = self.scale * np.where(gain == 0, 1, np.abs(gain))
        return replace(
            self, name=node.name, weights=weights, scale=scale, bias=self.bias * gain + shift
        )

    def lower(self, b: Builder, to: Quantisation, clamp: tuple[int, int]) -> Activation:
        weights = self.weights.astype(np.int64)
        unit = self.source.quantisation.scale * self.scale
        flat = weights.reshape(len(weights), -1)
        idle = ~flat.any(axis=1)
        # A channel without weights is its bias: a unit of its own keeps that bias precise.
        unit = np.where(idle, np.maximum(np.abs(self.bias), to.scale) / 2**20, unit)
        # A bias beyond 2**30 units dwarfs the products, so they can spare their last bits.
        spare = np.ceil(np.maximum(np.abs(self.bias) / (unit * 2**30), 1))
        weights = np.rint(flat / spare[:, None]).astype(np.int64).reshape(weights.shape)
        unit = unit * spare
        bias = np.rint(self.bias / unit).astype(np.int64)
        if np.abs(weights).max() > 255:
            raise self.node.error("its weights exceed 8 bits; quantise them to int8")
        pairs = [quantise_multiplier(float(n)) for n in unit / to.scale]
        reach = 255 * np.abs(weights.reshape(len(weights), -1)).sum(axis=1) + np.abs(bias)
        if any(int(n) << max(s, 0) >= 2**31 for n, (_, s) in zip(reach, pairs, strict=True)):
            raise self.node.error(
                "its sums can exceed 32 bits; split the reduction, use smaller weights, or a "
                "coarser output scale"
            )
        fields: dict[str, Any] = {
            "weights": weights.astype(np.int16),
            "bias": bias.astype(np.int32),
            "multiplier": np.array([m for m, _ in pairs], np.int32),
            "shift": np.array([s for _, s in pairs], np.int8),
            "clamp": clamp,
            "even": True,
        }
        return self.emit(b, to, fields)


Value = np.ndarray | Weights | Activation | Real


@dataclass
class Model:
    """What is known while nodes are lowered one after the other."""

    builder: Builder
    values: dict[str, Value] = field(default_factory=dict)
    quantised: dict[tuple[int, Quantisation], Activation] = field(default_factory=dict)
    kept: list[Real] = field(default_factory=list)

    def value(self, node: Node, index: int) -> Value:
        name = node.input(index)
        if not name:
            raise node.error(f"input {index} is missing; export the model again")
        if name not in self.values:
            raise node.error(
                f"it reads '{name}', which no earlier node produces; order the nodes by their data"
            )
        return self.values[name]

    def real(self, node: Node, index: int) -> Real:
        """Input ``index``, which must be computed by the network."""
        found = self.value(node, index)
        if isinstance(found, Activation):
            if node.op in MOVES:
                return dequantised(node, found)
            raise node.error(f"it takes integers that no DequantizeLinear has scaled; {ADVICE}")
        if not isinstance(found, Real):
            raise node.error(f"input '{node.input(index)}' is a constant where an activation goes")
        return found

    def held(self, node: Node, index: int) -> Activation:
        """Input ``index`` as quantised integers."""
        found = self.real(node, index)
        if isinstance(found, Pointwise) and found.plain:
            return found.source
        raise node.error(f"its input '{node.input(index)}' is not quantised; {ADVICE}")

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """Input ``index`` as real numbers, None where it is omitted."""
        if not node.input(index):
            return None
        found = self.value(node, index)
        if isinstance(found, Weights):
            return found.real
        if isinstance(found, np.ndarray):
            return found
        raise node.error(
            f"input '{node.input(index)}' must be a constant; export the model with it fixed"
        )

    def integers(self, node: Node, index: int) -> tuple[int, ...] | None:
        found = self.constant(node, index)
        return None if found is None else tuple(int(n) for n in found.ravel())

    def weights(self, node: Node, index: int) -> Weights:
        found = self.value(node, index)
        if isinstance(found, Weights):
            return found
        if isinstance(found, np.ndarray):
            raise node.error(f"its weights '{node.input(index)}' are not quantised; {ADVICE}")
        raise node.error(
            f"its input '{node.input(index)}' must be constant weights; a product of two "
            "activations is not supported"
        )

    def quantise(self, real: Real, to: Quantisation) -> Activation:
        key = (id(real), to)
        if key not in self.quantised:
            self.kept.append(real)
            self.quantised[key] = real.quantised(self.builder, to)
        return self.quantised[key]


def dequantised(node: Node, x: Activation) -> Pointwise:
    values = x.quantisation.real(CODES)
    return Pointwise(name=node.name, shape=x.shape, source=x, values=values)
