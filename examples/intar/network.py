"""Network: a graph builder that evaluates in float64 beside, and takes its formats from that.

An int16 tensor gets the most fraction bits with which none of its real values saturates; an int8
one the scale and zero point of its range. Weights are quantised first and their quantised values
are what is evaluated, so that the integer network differs from the real one only by the rounding
of activations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gen.fixed_point import largest_fraction
from gen.graph import Graph, Tensor
from gen.weights import quantise_weights
from intarsia.graph import GraphBuilder

from . import real

__all__ = ["Kernel", "Network", "size"]


INT8_MARGIN = 1.1
"""Times the range of real values is what an int8 tensor holds, against errors of rounding."""


def size(sizes: dict[str, Any], scale: str) -> Any:
    """The entry of ``sizes`` for ``scale``, ``"full"`` or ``"small"``.

    Raises
    ------
    ValueError
        If ``scale`` is neither.
    """
    if scale not in sizes:
        raise ValueError(f"scale must be one of {', '.join(sizes)}, not {scale!r}")
    return sizes[scale]


@dataclass(frozen=True)
class Kernel:
    """A graph, one array for each of its inputs, and every tensor in float64 for these inputs."""

    graph: Graph
    inputs: dict[str, np.ndarray]
    real: dict[str, np.ndarray]


class Network:
    """Tasks so far, and the real value of every tensor.

    Parameters
    ----------
    name
        Of the graph.
    bits
        Of every tensor, 16 or 8.
    """

    def __init__(self, name: str, bits: int = 16) -> None:
        self._builder = GraphBuilder(name)
        self._bits = bits
        self._inputs: dict[str, np.ndarray] = {}
        self._real: dict[str, np.ndarray] = {}

    def input(self, name: str, values: np.ndarray) -> Tensor:
        """An input with the given real values, which are rounded to its format."""
        x = self._builder.input(name, values.shape, bits=self._bits, **self._format(values))
        codes = np.clip(np.rint(values / x.scale) + x.zero_point, *x.limits)
        self._inputs[name] = codes.astype(x.dtype)
        self._real[name] = (codes - x.zero_point) * x.scale
        return x

    def value(self, x: Tensor) -> np.ndarray:
        """Real value of a tensor."""
        return self._real[x.name]

    def finish(self, *outputs: Tensor) -> Kernel:
        """The kernel with these outputs."""
        for x in outputs:
            self._builder.output(x)
        return Kernel(self._builder.build(), self._inputs, self._real)

    def matmul(
        self,
        name: str,
        x: Tensor,
        weights: np.ndarray,
        *,
        fraction_bits: int | None = None,
        relu: bool = False,
    ) -> Tensor:
        """``x @ weights`` of (K, N), real or, with their fraction bits, integer."""
        scale = None if fraction_bits is None else 2.0**-fraction_bits
        integers, scales = quantise_weights(weights.T, self._bits, scale)
        y = _rectified(real.product(self.value(x), integers, scales), relu)
        return self._emit(
            self._builder.matmul, y, x, integers.T, name=name, relu=relu, weight_scale=scales
        )

    def conv(
        self,
        name: str,
        x: Tensor,
        weights: np.ndarray,
        bias: np.ndarray,
        *,
        stride: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        depthwise: bool = False,
        relu: bool = False,
        normalise: bool = False,
    ) -> Tensor:
        """Convolution by real weights (O, KH, KW, C / groups) plus a real bias (O,).

        ``normalise`` scales all to a root mean square of 1 before the bias is added.
        """
        integers, scales = quantise_weights(weights, self._bits, None)
        held = integers * scales.reshape(-1, 1, 1, 1)
        y = real.conv(self.value(x), held, stride, padding, depthwise)
        if normalise:
            spread = np.sqrt((y**2).mean())
            scales, y = scales / spread, y / spread
        step = scales * x.scale
        bias = np.rint(bias / step) * step
        return self._emit(
            self._builder.conv,
            _rectified(y + bias, relu),
            x,
            integers,
            bias,
            name=name,
            stride=stride,
            padding=padding,
            groups=x.shape[3] if depthwise else 1,
            relu=relu,
            weight_scale=scales,
        )

    def conv_transpose(self, name: str, x: Tensor, weights: np.ndarray) -> Tensor:
        """Transposed convolution by real weights (O, KH, KW, C)."""
        integers, scales = quantise_weights(weights, self._bits, None)
        y = real.conv_transpose(self.value(x), integers * scales.reshape(-1, 1, 1, 1))
        return self._emit(
            self._builder.conv_transpose, y, x, integers, name=name, weight_scale=scales
        )

    def dot(
        self,
        name: str,
        a: Tensor,
        b: Tensor,
        *,
        transpose_b: bool = False,
        factor: float = 1.0,
    ) -> Tensor:
        """``factor * (a @ b)``, or of the transpose of ``b``."""
        right = self.value(b).T if transpose_b else self.value(b)
        y = factor * (self.value(a) @ right)
        return self._emit(
            self._builder.dot, y, a, b, name=name, transpose_b=transpose_b, factor=factor
        )

    def multiply(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """Element-wise product."""
        return self._emit(self._builder.multiply, self.value(a) * self.value(b), a, b, name=name)

    def silu(self, name: str, x: Tensor) -> Tensor:
        """SiLU."""
        return self._emit(self._builder.silu, real.silu(self.value(x)), x, name=name)

    def softmax_rows(self, name: str, x: Tensor) -> Tensor:
        """Softmax over the last axis."""
        y = self._builder.softmax_rows(x, name=name)
        self._real[y.name] = real.softmax(self.value(x))
        return y

    def sample(self, name: str, mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
        """``mu + exp(logvar / 2) * eps``."""
        z = self._builder.sample(mu, logvar, eps, name=name)
        deviation = np.exp(self.value(logvar) / 2)
        self._real[f"{name}_deviation"] = deviation
        self._real[f"{name}_noise"] = deviation * self.value(eps)
        self._real[name] = self.value(mu) + self._real[f"{name}_noise"]
        return z

    def channel(self, name: str, x: Tensor, index: int) -> Tensor:
        """One channel of an image."""
        stop = (*x.shape[:3], index + 1)
        y = self._builder.slice(x, (0, 0, 0, index), stop, name=name)
        self._real[y.name] = self.value(x)[..., index : index + 1]
        return y

    def upsample(self, name: str, x: Tensor) -> Tensor:
        """Nearest neighbour, twice as large."""
        return self._move(self._builder.upsample, real.upsample, name, x)

    def max_pool(self, name: str, x: Tensor) -> Tensor:
        """Maxima of 2 x 2 pixels."""
        return self._move(self._builder.max_pool, real.max_pool, name, x)

    def mean(self, name: str, x: Tensor) -> Tensor:
        """Mean of all pixels, as a vector (1, C)."""
        pooled = self._builder.average_pool(x, x.shape[1:3], name=name)
        flat = self._builder.reshape(pooled, (1, x.shape[3]), name=f"{name}_flat")
        self._real[pooled.name] = real.mean(self.value(x))
        self._real[flat.name] = self._real[pooled.name].reshape(flat.shape)
        return flat

    def _move(
        self,
        task: Callable[..., Tensor],
        function: Callable[[np.ndarray], np.ndarray],
        name: str,
        x: Tensor,
    ) -> Tensor:
        y = task(x, name=name)
        self._real[y.name] = function(self.value(x))
        return y

    def _emit(
        self,
        task: Callable[..., Tensor],
        value: np.ndarray,
        *args: Any,
        **more: Any,
    ) -> Tensor:
        """A task whose result has the format that suits ``value``."""
        y = task(*args, **more, **self._format(value))
        self._real[y.name] = value
        return y

    def _format(self, value: np.ndarray) -> dict[str, Any]:
        low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
        if self._bits == 16:
            return {"fraction_bits": largest_fraction(max(high, -low))}
        scale = INT8_MARGIN * (high - low) / 255 or 1.0
        return {"scale": scale, "zero_point": int(np.rint(-128 - INT8_MARGIN * low / scale))}


def _rectified(x: np.ndarray, relu: bool) -> np.ndarray:
    return np.maximum(x, 0) if relu else x
