"""Task graphs in Python, for networks that come from no file.

>>> import numpy as np
>>> from intarsia.graph import GraphBuilder
>>> g = GraphBuilder("two_layers")
>>> x = g.input("x", (1, 64), fraction_bits=12)
>>> h = g.matmul(x, np.full((64, 32), 0.01), relu=True, fraction_bits=12)
>>> y = g.output(g.matmul(h, np.full((32, 8), 0.1), fraction_bits=12))
>>> graph = g.build()
>>> graph.macs()
2304

Activations are int16 with a power of two as their scale (``fraction_bits``), or int8 with any scale
and zero point; a task's result has the width of its inputs. Weights are real numbers, quantised
here, or integers with the scale that they have. Multipliers and shifts follow from the scales.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np

from gen import fixed_point
from gen.errors import UserError
from gen.graph import (
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Dot,
    Graph,
    Interpolate,
    Lookup,
    MatMul,
    Multiply,
    Pad,
    Pool,
    Reshape,
    RowSoftmax,
    Slice,
    Softmax,
    Task,
    Tensor,
    Transpose,
    Upsample,
)
from gen.quantise import (
    add_parameters,
    float_table,
    quantise_multiplier,
    softmax_parameters,
)
from gen.task_products import EQUAL_SCALES
from gen.weights import quantise_bias, quantise_weights

__all__ = ["GraphBuilder", "Result"]

Operand = Tensor | str
"""A tensor of the graph, or its name."""

Padding = int | tuple[int, int, int, int]
"""All around, or top, bottom, left, right."""


class Result(TypedDict, total=False):
    """What every task takes to describe its result.

    ``name`` is the task's and the tensor's; without one, tasks are counted. The format is
    ``fraction_bits``, or at 8 bits ``scale`` and ``zero_point``; without it, that of the first
    input. ``into`` names a tensor from :meth:`GraphBuilder.tensor` that the task shall write.
    """

    name: str
    fraction_bits: int
    scale: float
    zero_point: int
    into: Operand


@dataclass(frozen=True)
class _Pending:
    """A task that is being made: its name, operands, and the format of its result."""

    name: str
    operands: tuple[Tensor, ...]
    scale: float
    zero_point: int
    into: Tensor | None

    @property
    def bits(self) -> int:
        return self.operands[0].bits

    @property
    def product(self) -> float:
        """Scale of products of all operands."""
        return float(np.prod([x.scale for x in self.operands]))

    def error(self, message: object) -> UserError:
        return UserError(f"task '{self.name}': {message}")

    def clamp(self, relu: bool) -> tuple[int, int]:
        low, high = self.operands[0].limits
        return (max(low, self.zero_point) if relu else low), high

    def factor(self, scale: float) -> tuple[int, int]:
        """(multiplier, shift) from ``scale`` to the result's."""
        multiplier, shift = quantise_multiplier(scale / self.scale)
        if self.bits == 16 and (multiplier != 1 << 30 or shift > 1):
            raise self.error(
                f"its result has scale {self.scale}, which must be 2**0 to 2**32 times the scale "
                f"{scale} of its sums; change its fraction bits"
            )
        return multiplier, shift

    def weighted(
        self,
        weights: np.ndarray,
        bias: np.ndarray | None,
        fraction_bits: int | None,
        scale: np.ndarray | float | None,
    ) -> dict[str, Any]:
        """Weights (O, ...), bias, multipliers and shifts as a task holds them."""
        if fraction_bits is not None and scale is not None:
            raise self.error("give either weight_fraction_bits or weight_scale")
        if fraction_bits is not None:
            scale = 2.0**-fraction_bits
        try:
            integers, scales = quantise_weights(np.asarray(weights), self.bits, scale)
            products = scales * self.product
            held = quantise_bias(bias, products)
        except ValueError as error:
            raise self.error(error) from None
        factors = [self.factor(float(product)) for product in products]
        return {
            "weights": integers,
            "bias": held,
            "multiplier": np.array([m for m, _ in factors], np.int32),
            "shift": np.array([s for _, s in factors], np.int8),
        }


class GraphBuilder:
    """Tasks and tensors so far; each task method appends one and returns its result.

    Parameters
    ----------
    name
        Of the graph.

    Raises
    ------
    UserError
        Every method that makes a task does so, in one line that begins with its name, if its
        operands are unknown, have different types, or do not fit it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tensors: dict[str, Tensor] = {}
        self._tasks: dict[str, Task] = {}
        self._inputs: list[str] = []
        self._outputs: list[str] = []

    # The graph's ends

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        bits: int = 16,
        fraction_bits: int | None = None,
        scale: float | None = None,
        zero_point: int = 0,
    ) -> Tensor:
        """Declare a tensor that a task will write which is made later (``into=``).

        Parameters
        ----------
        shape
            Images are (1, H, W, C).
        bits
            16 or 8.
        fraction_bits, scale, zero_point
            Real value = ``2**-fraction_bits * q``, or ``scale * (q - zero_point)`` at 8 bits.
        """
        if (fraction_bits is None) == (scale is None):
            raise UserError(f"tensor '{name}': give either fraction_bits or scale")
        if name in self._tensors:
            raise UserError(f"tensor '{name}': the graph already has one of this name")
        step = 2.0**-fraction_bits if fraction_bits is not None else scale
        made = Tensor(name, tuple(shape), float(step or 0), zero_point, bits=bits)
        made.check()
        self._tensors[name] = made
        return made

    def input(self, name: str, shape: tuple[int, ...], **form: Any) -> Tensor:
        """An input of the graph; parameters as for :meth:`tensor`."""
        made = self.tensor(name, shape, **form)
        self._inputs.append(name)
        return made

    def output(self, x: Operand) -> Tensor:
        """Make a tensor an output of the graph."""
        found = self._known(x, f"output of graph '{self.name}'")
        self._outputs.append(found.name)
        return found

    def build(self) -> Graph:
        """The graph, its tasks in an order in which they can run.

        Raises
        ------
        UserError
            If there is a cycle, a tensor that no task produces, or no output.
        """
        if not self._outputs:
            raise UserError(f"graph '{self.name}' has no output")
        graph = Graph(
            self.name,
            dict(self._tensors),
            tuple(self._ordered()),
            tuple(self._inputs),
            tuple(self._outputs),
        )
        graph.check()
        made = {*self._inputs, *(task.output for task in graph.tasks)}
        for name in self._tensors:
            if name not in made:
                raise UserError(f"tensor '{name}' has no producer; no task writes into it")
        return graph

    def _ordered(self) -> list[Task]:
        """Tasks by their data; those of a cycle come last, as they were made."""
        known, left, ordered = {*self._inputs}, list(self._tasks.values()), []
        while ready := [task for task in left if known.issuperset(task.inputs)]:
            ordered += ready
            left = [task for task in left if not known.issuperset(task.inputs)]
            known.update(task.output for task in ready)
        return ordered + left

    # Products

    def conv(
        self,
        x: Operand,
        weights: np.ndarray,
        bias: np.ndarray | None = None,
        *,
        stride: int | tuple[int, int] = 1,
        padding: Padding = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        relu: bool = False,
        weight_fraction_bits: int | None = None,
        weight_scale: np.ndarray | float | None = None,
        **result: Unpack[Result],
    ) -> Tensor:
        """2-D convolution (:class:`~gen.graph.Conv`); depthwise where ``groups`` is C.

        Parameters
        ----------
        weights
            (O, KH, KW, C / groups), real, or integers with their scale.
        bias
            (O,), real, or integers at the scale of the products.
        relu
            Whether results below zero become zero.
        weight_fraction_bits, weight_scale
            Scale of the weights: a power of two, or any at 8 bits, one or one per output. Without
            it real weights fill their type: one power of two for all at 16 bits, one scale per
            output at 8.
        """
        new = self._begin(Conv.kind, (x,), **result)
        numbers = new.weighted(weights, bias, weight_fraction_bits, weight_scale)
        return self._finish(
            new,
            Conv,
            **numbers,
            stride=_pair(stride),
            dilation=_pair(dilation),
            padding=_around(padding),
            groups=groups,
            clamp=new.clamp(relu),
        )

    def conv_transpose(
        self,
        x: Operand,
        weights: np.ndarray,
        bias: np.ndarray | None = None,
        *,
        stride: int | tuple[int, int] = 1,
        padding: Padding = 0,
        relu: bool = False,
        weight_fraction_bits: int | None = None,
        weight_scale: np.ndarray | float | None = None,
        **result: Unpack[Result],
    ) -> Tensor:
        """Transposed convolution (:class:`~gen.graph.ConvTranspose`); ``weights`` (O, KH, KW, C),
        otherwise as :meth:`conv`.
        """
        new = self._begin(ConvTranspose.kind, (x,), **result)
        numbers = new.weighted(weights, bias, weight_fraction_bits, weight_scale)
        return self._finish(
            new,
            ConvTranspose,
            **numbers,
            stride=_pair(stride),
            padding=_around(padding),
            clamp=new.clamp(relu),
        )

    def matmul(
        self,
        x: Operand,
        weights: np.ndarray,
        bias: np.ndarray | None = None,
        *,
        relu: bool = False,
        weight_fraction_bits: int | None = None,
        weight_scale: np.ndarray | float | None = None,
        **result: Unpack[Result],
    ) -> Tensor:
        """``x @ weights + bias`` with constant ``weights`` (K, N), otherwise as :meth:`conv`."""
        new = self._begin(MatMul.kind, (x,), **result)
        rows = np.swapaxes(weights, 0, -1)
        numbers = new.weighted(rows, bias, weight_fraction_bits, weight_scale)
        return self._finish(new, MatMul, **numbers, clamp=new.clamp(relu))

    def dot(
        self,
        a: Operand,
        b: Operand,
        *,
        transpose_b: bool = False,
        factor: float = 1.0,
        relu: bool = False,
        **result: Unpack[Result],
    ) -> Tensor:
        """``factor * (a @ b)``, or of the transpose of ``b``, for two activations.

        ``factor`` costs nothing; at 16 bits it must be a power of two.
        """
        new = self._begin(Dot.kind, (a, b), **result)
        multiplier, shift = new.factor(new.product * factor)
        return self._finish(
            new,
            Dot,
            multiplier=multiplier,
            shift=shift,
            transpose_b=transpose_b,
            clamp=new.clamp(relu),
        )

    # Element by element

    def multiply(self, a: Operand, b: Operand, **result: Unpack[Result]) -> Tensor:
        """Element-wise product; an image of one channel multiplies every channel of the other."""
        new = self._begin(Multiply.kind, (a, b), **result)
        multiplier, shift = new.factor(new.product)
        return self._finish(
            new, Multiply, multiplier=multiplier, shift=shift, clamp=new.clamp(False)
        )

    def add(
        self, a: Operand, b: Operand, *, relu: bool = False, **result: Unpack[Result]
    ) -> Tensor:
        """Element-wise sum; at 16 bits all three have one scale, and channels as in a product."""
        new = self._begin(Add.kind, (a, b), **result)
        first, second = new.operands
        if new.bits == 16:
            rescales = EQUAL_SCALES
        else:
            try:
                rescales = add_parameters(first.scale, second.scale, new.scale)
            except ValueError as error:
                raise new.error(error) from None
        return self._finish(
            new,
            Add,
            rescale_a=rescales[0],
            rescale_b=rescales[1],
            rescale_out=rescales[2],
            clamp=new.clamp(relu),
        )

    def function(
        self, x: Operand, function: str | Callable[[float], float], **result: Unpack[Result]
    ) -> Tensor:
        """Any unary function, given as such or by its name in ``gen.fixed_point.FUNCTIONS``.

        At 16 bits it is interpolated between 257 points, with the error that
        :func:`gen.fixed_point.interpolation_table` states; at 8 bits it is a table.
        """
        label = function if isinstance(function, str) else function.__name__
        new = self._begin(label, (x,), **result)
        (source,) = new.operands
        if isinstance(function, str):
            if function not in fixed_point.FUNCTIONS:
                known = ", ".join(fixed_point.FUNCTIONS)
                raise new.error(f"there is no function '{function}', but {known}")
            function = fixed_point.FUNCTIONS[function]
        if new.bits == 16:
            table = fixed_point.interpolation_table(function, source.scale, new.scale)
            return self._finish(new, Interpolate, function=label, table=table)
        table = float_table(function, source.scale, source.zero_point, new.scale, new.zero_point)
        return self._finish(new, Lookup, function=label, table=table)

    def silu(self, x: Operand, **result: Unpack[Result]) -> Tensor:
        """``x / (1 + exp(-x))``; see :meth:`function`."""
        return self.function(x, "silu", **result)

    def sigmoid(self, x: Operand, **result: Unpack[Result]) -> Tensor:
        """``1 / (1 + exp(-x))``; see :meth:`function`."""
        return self.function(x, "sigmoid", **result)

    def tanh(self, x: Operand, **result: Unpack[Result]) -> Tensor:
        """Hyperbolic tangent; see :meth:`function`."""
        return self.function(x, "tanh", **result)

    def gelu(self, x: Operand, **result: Unpack[Result]) -> Tensor:
        """``x`` times the normal distribution function of ``x``; see :meth:`function`."""
        return self.function(x, "gelu", **result)

    def softmax_rows(self, x: Operand, *, name: str = "") -> Tensor:
        """Softmax over the last axis; the result's scale is 2**-15, or 1/256 at 8 bits.

        At 16 bits it differs from the real softmax of the same integers by at most
        ``sim.golden_rowsoftmax.ERROR`` steps.
        """
        source = self._known(x, f"task '{name or RowSoftmax.kind}'")
        if source.bits == 16:
            new = self._begin(RowSoftmax.kind, (x,), name=name, fraction_bits=15)
            fraction = fixed_point.fraction_bits(source.scale)
            return self._finish(new, RowSoftmax, fraction_bits=fraction)
        new = self._begin(Softmax.kind, (x,), name=name, scale=1 / 256, zero_point=-128)
        try:
            multiplier, left_shift, diff_min = softmax_parameters(source.scale)
        except ValueError as error:
            raise new.error(error) from None
        return self._finish(
            new, Softmax, multiplier=multiplier, left_shift=left_shift, diff_min=diff_min
        )

    def sample(self, mu: Operand, logvar: Operand, eps: Operand, *, name: str = "sample") -> Tensor:
        """``z = mu + exp(logvar / 2) * eps``, int16, in the format of ``mu``.

        Three tasks: a table ``<name>_deviation`` with as many fraction bits as it holds, a product
        ``<name>_noise``, and a sum ``<name>``. Unless that saturates, ``z`` differs from the real
        result on the same integers by at most ``abs(eps) * (step_d + h**2 / 32 * d) + step_z / 2``,
        with ``step_d`` and ``step_z`` the scales of the deviation and of ``mu``, ``h`` 256 steps of
        ``logvar`` and ``d`` the exact deviation at ``logvar + h``.
        """
        mean, spread = (self._known(t, f"task '{name}'") for t in (mu, logvar))
        largest = fixed_point.FUNCTIONS["exp_half"](-spread.limits[0] * spread.scale)
        deviation = self.function(
            spread,
            "exp_half",
            name=f"{name}_deviation",
            fraction_bits=fixed_point.largest_fraction(largest),
        )
        noise = self.multiply(deviation, eps, name=f"{name}_noise", scale=mean.scale)
        return self.add(mean, noise, name=name)

    # Images

    def max_pool(
        self,
        x: Operand,
        kernel: int | tuple[int, int] = 2,
        *,
        stride: int | tuple[int, int] | None = None,
        padding: Padding = 0,
        **result: Unpack[Result],
    ) -> Tensor:
        """Maximum over windows, which lie side by side unless ``stride`` is given."""
        return self._pool("max", x, kernel, stride, padding, result)

    def average_pool(
        self,
        x: Operand,
        kernel: int | tuple[int, int] = 2,
        *,
        stride: int | tuple[int, int] | None = None,
        padding: Padding = 0,
        **result: Unpack[Result],
    ) -> Tensor:
        """Mean over windows, as :meth:`max_pool`."""
        return self._pool("average", x, kernel, stride, padding, result)

    def _pool(
        self,
        mode: str,
        x: Operand,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] | None,
        padding: Padding,
        result: Result,
    ) -> Tensor:
        new = self._begin(Pool.kind, (x,), **result)
        return self._copy(
            new,
            Pool,
            mode=mode,
            kernel=_pair(kernel),
            stride=_pair(kernel if stride is None else stride),
            padding=_around(padding),
            clamp=new.clamp(False),
        )

    def upsample(self, x: Operand, factor: int = 2, **result: Unpack[Result]) -> Tensor:
        """Nearest-neighbour upsampling of rows and columns."""
        return self._copy(self._begin(Upsample.kind, (x,), **result), Upsample, factor=factor)

    # Copies

    def reshape(self, x: Operand, shape: tuple[int, ...], **result: Unpack[Result]) -> Tensor:
        """The same elements in the same order."""
        return self._copy(self._begin(Reshape.kind, (x,), **result), Reshape, shape=tuple(shape))

    def transpose(
        self, x: Operand, permutation: tuple[int, ...], **result: Unpack[Result]
    ) -> Tensor:
        """As :func:`numpy.transpose`."""
        new = self._begin(Transpose.kind, (x,), **result)
        return self._copy(new, Transpose, permutation=tuple(permutation))

    def slice(
        self,
        x: Operand,
        start: tuple[int, ...],
        stop: tuple[int, ...],
        step: tuple[int, ...] | None = None,
        **result: Unpack[Result],
    ) -> Tensor:
        """``x[start[0]:stop[0]:step[0], ...]``, none of them negative."""
        new = self._begin(Slice.kind, (x,), **result)
        by = step or (1,) * len(start)
        if not len(start) == len(stop) == len(by) or min(by, default=1) < 1:
            raise new.error(f"start {start}, stop {stop} and step {by} must suit each other")
        shape = tuple(-((a - b) // n) for a, b, n in zip(start, stop, by, strict=True))
        return self._copy(new, Slice, shape=shape, start=tuple(start), step=tuple(by))

    def concat(self, parts: Sequence[Operand], axis: int, **result: Unpack[Result]) -> Tensor:
        """Tensors of one format joined along ``axis``."""
        return self._copy(self._begin(Concat.kind, tuple(parts), **result), Concat, axis=axis)

    def pad(
        self,
        x: Operand,
        padding: tuple[tuple[int, int], ...],
        value: int = 0,
        **result: Unpack[Result],
    ) -> Tensor:
        """((before, after), ...) per axis, filled with the element ``value``."""
        return self._copy(self._begin(Pad.kind, (x,), **result), Pad, padding=padding, value=value)

    # How tasks are made

    def _known(self, x: Operand, about: str) -> Tensor:
        name = x if isinstance(x, str) else x.name
        if name not in self._tensors or (x is not name and self._tensors[name] is not x):
            raise UserError(f"{about}: '{name}' is no tensor of graph '{self.name}'")
        return self._tensors[name]

    def _begin(
        self,
        stem: str,
        operands: tuple[Operand, ...],
        *,
        name: str = "",
        fraction_bits: int | None = None,
        scale: float | None = None,
        zero_point: int | None = None,
        into: Operand | None = None,
    ) -> _Pending:
        name = name or f"{stem}_{len(self._tasks) + 1}"
        about = f"task '{name}'"
        if name in self._tasks:
            raise UserError(f"{about}: the graph already has a task of this name")
        found = tuple(self._known(x, about) for x in operands)
        if not found:
            raise UserError(f"{about}: it has no inputs")
        if fraction_bits is not None and scale is not None:
            raise UserError(f"{about}: give either fraction_bits or scale")
        target = None if into is None else self._known(into, about)
        like = target or found[0]
        if fraction_bits is not None:
            scale = 2.0**-fraction_bits
        if target and (scale is not None or zero_point is not None):
            raise UserError(f"{about}: the format of its result is that of '{target.name}'")
        return _Pending(
            name,
            found,
            like.scale if scale is None else scale,
            like.zero_point if zero_point is None else zero_point,
            target,
        )

    def _copy(self, new: _Pending, kind: type[Task], **members: Any) -> Tensor:
        """As :meth:`_finish`, for a task that keeps the integers of its inputs."""
        for x in new.operands:
            if (x.scale, x.zero_point) != (new.scale, new.zero_point):
                raise new.error(
                    f"'{x.name}' has scale {x.scale} and zero point {x.zero_point}, its result "
                    f"{new.scale} and {new.zero_point}; it only moves elements"
                )
        return self._finish(new, kind, **members)

    def _finish(
        self,
        new: _Pending,
        kind: type[Task],
        *,
        shape: tuple[int, ...] | None = None,
        **members: Any,
    ) -> Tensor:
        """Append the task; ``shape`` where the operands do not determine it."""
        output = new.into.name if new.into else new.name
        task = kind(new.name, tuple(x.name for x in new.operands), output, **members)
        try:
            shape = task.shape(new.operands, shape or new.operands[0].shape)
            made = new.into or Tensor(output, shape, new.scale, new.zero_point, bits=new.bits)
            made.check()
            task.check(new.operands, made)
        except (ValueError, UserError) as error:
            raise new.error(error) from None
        if new.into is None and output in self._tensors:
            raise new.error(f"the graph already has a tensor '{output}'")
        self._tensors[output] = made
        self._tasks[new.name] = task
        return made


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _around(value: Padding) -> tuple[int, int, int, int]:
    return (value, value, value, value) if isinstance(value, int) else value
