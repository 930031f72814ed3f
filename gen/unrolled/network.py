"""Networks that are unrolled whole: one input a cycle, no schedule, no memory.

A product's requantisation, clamp and table are one monotone function of its sum, which a search
over its steps computes exactly, whatever the scales were.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gen.errors import UserError
from gen.graph import Graph, Lookup, MatMul, Reshape, Task
from gen.quantise import requantise
from rtl.unrolled.chain import Chain
from rtl.unrolled.product import ConstantProduct
from rtl.unrolled.steps import Stepped, Steps

from .product import Product, pipelined
from .search import search

__all__ = ["Layer", "Network", "network"]


@dataclass(frozen=True)
class Layer:
    """A product, and of each of its outputs the function that follows."""

    name: str
    product: Product
    steps: tuple[Steps, ...]


@dataclass(frozen=True)
class Network:
    """Layers one behind the other, and the least and greatest value of the inputs."""

    interval: tuple[int, int]
    layers: tuple[Layer, ...]

    def component(self) -> Chain:
        """The circuit: a vector a cycle, held as the graph's tensors are."""
        blocks = []
        for layer in self.layers:
            product = ConstantProduct(
                layer.product.graph, stages=layer.product.stages.tolist(), registered=True
            )
            blocks += [product, Stepped(product.output, layer.steps)]
        return Chain(blocks)


def network(
    graph: Graph, rounds: int = 4000, progress: Callable[[str], None] = lambda words: None
) -> Network:
    """``graph`` as layers.

    A clamp of the input is the caller's: the circuit's inputs are as wide as what it leaves.

    Parameters
    ----------
    graph
        A chain of products of one int8 vector, tables and views.
    rounds
        Of the search for each product.

    Raises
    ------
    UserError
        If it is anything else, naming the task.
    """
    interval = _interval(graph)
    first, layers = interval, []
    pending: MatMul | None = None
    tables: list[np.ndarray] = []
    for task in (*graph.tasks, None):
        if isinstance(task, Reshape):
            continue
        if isinstance(task, Lookup):
            tables.append(task.table)
            continue
        if pending is not None:
            progress(f"unrolling {pending.name}")
            layers.append(_layer(graph, pending, tables, interval, rounds))
            steps = layers[-1].steps
            interval = min(s.low for s in steps), max(s.high for s in steps)
        elif any(not np.array_equal(np.clip(_CODES, *first), table) for table in tables):
            raise UserError(f"'{graph.name}' begins with a table; only a clamp may come first")
        tables = []
        if task is not None:
            pending = _product(graph, task)
    if not layers:
        raise UserError(f"graph '{graph.name}' has no product to unroll")
    return Network(first, tuple(layers))


_CODES = np.arange(-128, 128)


def _product(graph: Graph, task: Task) -> MatMul:
    """``task``, if a fully unrolled network may have it."""
    size = graph.tensors[task.inputs[0]].size
    if not isinstance(task, MatMul) or task.weights.shape[1] != size:
        raise UserError(
            f"task '{task.name}' cannot be part of a network that is unrolled whole: only products "
            "of one vector, tables and views can"
        )
    return task


def _interval(graph: Graph) -> tuple[int, int]:
    """What a clamp leaves of the input, or its type."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or graph.element_bytes != 1:
        raise UserError("a network that is unrolled whole has one int8 input and one output")
    lookups = []
    for task in graph.tasks:
        if isinstance(task, Lookup):
            lookups.append(task)
        elif not isinstance(task, Reshape):
            break
    if not lookups:
        return graph.tensors[graph.inputs[0]].limits
    return int(lookups[0].table.min()), int(lookups[0].table.max())


def _layer(
    graph: Graph,
    task: MatMul,
    tables: list[np.ndarray],
    interval: tuple[int, int],
    rounds: int,
) -> Layer:
    made = pipelined(search(task.weights.T, [interval] * task.weights.shape[1], rounds=rounds))
    bounds = _bounds(made)
    x, y = graph.tensors[task.inputs[0]], graph.tensors[task.output]
    raw = task.bias.astype(np.int64) - x.zero_point * task.weights.sum(axis=1, dtype=np.int64)
    steps = []
    for k, (low, high) in enumerate(bounds):
        sums = np.arange(low, high + 1) + int(raw[k])
        scaled = _scaled(sums, int(task.multiplier[k]), int(task.shift[k]), task.even)
        values = np.clip(scaled + y.zero_point, *task.clamp)
        for table in tables:
            values = table.astype(np.int64)[values + 128]
        steps.append(_steps(task, low, values))
    return Layer(task.name, made, tuple(steps))


def _bounds(product: Product) -> list[tuple[int, int]]:
    """Least and greatest value of each output."""
    intervals = product.graph.intervals
    pairs = [(intervals[v], s) if v >= 0 else ((0, 0), 0) for v, s in product.outputs.tolist()]
    return [(low << shift, high << shift) for (low, high), shift in pairs]


def _scaled(x: np.ndarray, multiplier: int, shift: int, even: bool) -> np.ndarray:
    """Requantised as :mod:`gen.graph` says."""
    if not even:
        return requantise(x, multiplier, shift)
    left, right = max(shift, 0), max(-shift, 0)
    fine = ((x << left) * multiplier + (1 << 18)) >> 19
    divisor = 1 << (right + 12)
    whole, rest = np.divmod(fine, divisor)
    return whole + ((2 * rest > divisor) | ((2 * rest == divisor) & (whole % 2 == 1)))


def _steps(task: MatMul, first: int, values: np.ndarray) -> Steps:
    """The steps of the function with these ``values`` from ``first`` on."""
    rises = np.diff(values)
    if (rises < 0).any():
        raise UserError(
            f"task '{task.name}' is followed by a table that falls; a network that is unrolled "
            "whole needs functions that rise"
        )
    at = first + 1 + np.repeat(np.arange(len(rises)), rises)
    return Steps(int(values[0]), tuple(at.tolist()))
