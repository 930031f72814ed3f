"""Builder: integer tensors and tasks while a frontend makes them, and how they are arranged."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import (
    Add,
    Concat,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Pool,
    Reshape,
    Task,
    Tensor,
    Transpose,
)
from .arrangement import Arrangement

__all__ = ["CODES", "FULL", "Activation", "Builder", "Quantisation"]

CODES = np.arange(-128, 128)
FULL = (-128, 127)


@dataclass(frozen=True)
class Quantisation:
    """Real value = ``scale * (q - zero_point)`` of a held int8; ``offset`` as in Tensor."""

    scale: float
    zero_point: int
    offset: int = 0

    def real(self, codes: np.ndarray) -> np.ndarray:
        return (codes - self.zero_point) * self.scale

    def code(self, real: np.ndarray | float) -> np.ndarray:
        """ONNX's QuantizeLinear: halves to even, saturating, and the lowest code for a NaN."""
        with np.errstate(over="ignore"):
            code = np.rint(np.asarray(real, np.float64) / self.scale) + self.zero_point
        return np.clip(np.nan_to_num(code, nan=-128, posinf=127, neginf=-128), *FULL).astype(int)


@dataclass(frozen=True)
class Activation:
    """Integers in a graph tensor, seen with the file's shape."""

    tensor: str
    at: Arrangement
    quantisation: Quantisation

    @property
    def shape(self) -> tuple[int, ...]:
        return self.at.shape


class Builder:
    """Tensors and tasks so far.

    Every ``emit`` gives a new tensor named after its task, unique among tasks and tensors.
    """

    def __init__(self, reserved: set[str]) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.tasks: list[Task] = []
        self.inputs: list[str] = []
        self._producer: dict[str, Task] = {}
        self._names = set(reserved)
        self._moved: dict[tuple[str, str, tuple[int, ...]], str] = {}

    def _unique(self, name: str) -> str:
        n, candidate = 1, name
        while candidate in self._names:
            n += 1
            candidate = f"{name}_{n}"
        self._names.add(candidate)
        return candidate

    def add_input(self, tensor: Tensor) -> None:
        self.tensors[tensor.name] = tensor
        self.inputs.append(tensor.name)

    def emit(
        self,
        kind: type[Task],
        name: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        quantisation: Quantisation,
        **fields: Any,
    ) -> str:
        """Append a task; returns the name of its output tensor."""
        name = self._unique(name)
        self.tensors[name] = Tensor(
            name, shape, quantisation.scale, quantisation.zero_point, quantisation.offset
        )
        task = kind(name, inputs, name, **fields)
        self.tasks.append(task)
        self._producer[name] = task
        return name

    def quantisation(self, tensor: str) -> Quantisation | None:
        """As in the tensor of that name; None where there is none yet."""
        held = self.tensors.get(tensor)
        return held and Quantisation(held.scale, held.zero_point, held.offset)

    def _like(self, tensor: str) -> Quantisation:
        held = self.tensors[tensor]
        return Quantisation(held.scale, held.zero_point, held.offset)

    def _reshape(self, tensor: str, shape: tuple[int, ...]) -> str:
        if self.tensors[tensor].shape == shape:
            return tensor
        producer = self._producer.get(tensor)
        if isinstance(producer, Reshape) and self._like(tensor) == self._like(producer.inputs[0]):
            return self._reshape(producer.inputs[0], shape)
        key = (tensor, "reshape", shape)
        if key not in self._moved:
            self._moved[key] = self.emit(
                Reshape, f"{tensor}_as_{len(shape)}d", (tensor,), shape, self._like(tensor)
            )
        return self._moved[key]

    def _transpose(self, tensor: str, permutation: tuple[int, ...]) -> str:
        key = (tensor, "transpose", permutation)
        if key not in self._moved:
            held = self.tensors[tensor].shape
            self._moved[key] = self.emit(
                Transpose,
                f"{tensor}_transposed",
                (tensor,),
                tuple(held[axis] for axis in permutation),
                self._like(tensor),
                permutation=permutation,
            )
        return self._moved[key]

    def place(self, x: Activation, factors: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """A tensor of ``shape`` with the elements of ``x`` in the order ``factors`` of ``x.at``."""
        tensor = x.tensor
        if x.at.order != factors:
            wide = [axis for axis, n in enumerate(self.tensors[tensor].shape) if n > 1]
            if tuple(self.tensors[tensor].shape[axis] for axis in wide) != x.at.sizes:
                tensor = self._reshape(tensor, x.at.sizes)
                wide = list(range(len(x.at.sizes)))
            held = self.tensors[tensor].shape
            ones = [axis for axis, n in enumerate(held) if n == 1]
            moved = [wide[x.at.order.index(factor)] for factor in factors]
            if len(held) == len(shape) and shape.count(1) == len(ones):
                wide_left, ones_left = iter(moved), iter(ones)
                permutation = tuple(next(ones_left if n == 1 else wide_left) for n in shape)
            else:
                permutation = (*ones, *moved)
            tensor = self._transpose(tensor, permutation)
        return self._reshape(tensor, shape)

    def by_axes(self, x: Activation, axes: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """As :meth:`place`, in the order of the file's ``axes``."""
        return self.place(x, x.at.flat(axes), shape)

    def aligned(self, x: Activation) -> tuple[str, tuple[int, ...]]:
        """A tensor whose axes are the file's, permuted, and that permutation."""
        axes = x.at.axes(self.tensors[x.tensor].shape) or tuple(range(len(x.shape)))
        return self.by_axes(x, axes, tuple(x.shape[axis] for axis in axes)), axes

    def alike(self, x: Activation, model: Activation) -> Activation:
        """``x``, of the same file shape, arranged as ``model`` and in a tensor of its shape."""
        if x.at != model.at:
            axes = model.at.axes(self.tensors[model.tensor].shape)
            assert axes is not None, "callers pass models whose axes are whole"
            x = replace(x, tensor=self.by_axes(x, axes, self.tensors[model.tensor].shape))
        tensor = self._reshape(x.tensor, self.tensors[model.tensor].shape)
        return replace(x, tensor=tensor, at=model.at)

    def join(self, name: str, parts: list[str], axis: int, to: Quantisation) -> str:
        """Tensors of one quantisation concatenated; a single one is itself the result."""
        if len(parts) == 1:
            return parts[0]
        shapes = [self.tensors[part].shape for part in parts]
        total = sum(shape[axis] for shape in shapes)
        shape = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
        return self.emit(Concat, name, tuple(parts), shape, to, axis=axis)

    def read_as(self, x: Activation, to: Quantisation) -> Activation:
        """The same integers with other parameters: a view where tasks see another zero point."""
        tensor = x.tensor
        if self.tensors[tensor].zero_point != to.zero_point:
            key = (tensor, "view", (to.zero_point,))
            if key not in self._moved:
                shape = self.tensors[tensor].shape
                self._moved[key] = self.emit(Reshape, f"{tensor}_view", (tensor,), shape, to)
            tensor = self._moved[key]
        return replace(x, tensor=tensor, quantisation=to)

    def lookup(
        self, name: str, function: str, x: Activation, codes: np.ndarray, to: Quantisation
    ) -> Activation:
        """``codes[x + 128]`` as quantised by ``to``; no task where that changes no integer."""
        if np.array_equal(codes, CODES):
            return replace(x, quantisation=to)
        source, table = x.tensor, codes.astype(np.int8)
        earlier = self._producer.get(source)
        if isinstance(earlier, Lookup):
            source, table = earlier.inputs[0], table[earlier.table.astype(int) + 128]
        shape = self.tensors[source].shape
        tensor = self.emit(Lookup, name, (source,), shape, to, function=function, table=table)
        return Activation(tensor, x.at, to)

    def ancestry(self, tensor: str) -> Iterator[tuple[str, np.ndarray]]:
        """Tensors of which ``tensor`` is a function, nearest first, each with its codes (256,)."""
        codes = CODES
        yield tensor, codes
        while isinstance(task := self._producer.get(tensor), Lookup):
            codes = codes[task.table.astype(int) + 128]
            tensor = task.inputs[0]
            yield tensor, codes

    def finish(self, name: str, outputs: dict[str, Activation]) -> Graph:
        """The graph whose output tensors are named as in ``outputs``.

        Tasks that nothing needs are dropped, zeros padded before a convolution become its own
        padding, a lookup that only clamps is fused into the task before it, and a host's
        ``layout`` is noted on outputs.
        """
        found = {output: self.aligned(x) for output, x in outputs.items()}
        read = {
            tensor
            for task in _needed(self.tasks, {tensor for tensor, _ in found.values()})
            for tensor in task.inputs
        }
        renamed: dict[str, str] = {}
        copies: list[Task] = []
        for output, x in outputs.items():
            tensor, axes = found[output]
            layout = None if axes == tuple(range(len(axes))) else axes
            q = x.quantisation
            shape = self.tensors[tensor].shape
            free = q == self._like(tensor) or tensor not in read
            if tensor in self._producer and tensor not in renamed and free:
                renamed[tensor] = output
            else:
                copies.append(Reshape(self._unique(f"{tensor}_copy"), (tensor,), output))
            self.tensors[output] = Tensor(output, shape, q.scale, q.zero_point, q.offset, layout)
        tasks = [
            replace(
                task,
                inputs=tuple(renamed.get(tensor, tensor) for tensor in task.inputs),
                output=renamed.get(task.output, task.output),
            )
            for task in (*self.tasks, *copies)
        ]
        tasks = _needed(_fuse_pads(tasks, self.tensors), set(outputs))
        tasks = _fuse_clamps(tasks, self.tensors, set(outputs))
        used = set(self.inputs) | {task.output for task in tasks}
        tensors = {key: tensor for key, tensor in self.tensors.items() if key in used}
        return Graph(name, tensors, tuple(tasks), tuple(self.inputs), tuple(outputs))


def _needed(tasks: list[Task], outputs: set[str]) -> list[Task]:
    wanted = set(outputs)
    kept: list[Task] = []
    for task in reversed(tasks):
        if task.output in wanted:
            wanted.update(task.inputs)
            kept.append(task)
    return kept[::-1]


def _fuse_pads(tasks: list[Task], tensors: dict[str, Tensor]) -> list[Task]:
    """Convolutions take over padding with zeros of the image before them."""
    pads = {task.output: task for task in tasks if isinstance(task, Pad)}
    result: list[Task] = []
    for task in tasks:
        pad = pads.get(task.inputs[0]) if isinstance(task, Conv) else None
        if isinstance(task, Conv) and pad is not None:
            batch, rows, columns, channels = pad.padding
            points = {pad.value, *(tensors[t].zero_point for t in (pad.inputs[0], pad.output))}
            if batch == channels == (0, 0) and len(points) == 1:
                padding = tuple(map(sum, zip(task.padding, (*rows, *columns), strict=True)))
                task = replace(task, inputs=pad.inputs, padding=padding)
        result.append(task)
    return result


def _fuse_clamps(tasks: list[Task], tensors: dict[str, Tensor], outputs: set[str]) -> list[Task]:
    uses = Counter(tensor for task in tasks for tensor in task.inputs)
    result: list[Task] = []
    place: dict[str, int] = {}
    for task in tasks:
        source = place.get(task.inputs[0]) if isinstance(task, Lookup) else None
        if isinstance(task, Lookup) and source is not None:
            before = result[source]
            low, high = int(task.table.min()), int(task.table.max())
            fusible = (
                isinstance(before, Conv | MatMul | Add | Pool)
                and uses[before.output] == 1
                and before.output not in outputs
                and tensors[before.output].zero_point == tensors[task.output].zero_point
                and np.array_equal(task.table, np.clip(CODES, low, high))
            )
            if fusible and isinstance(before, Conv | MatMul | Add | Pool):
                clamp = tuple(int(n) for n in np.clip(before.clamp, low, high))
                result[source] = replace(before, output=task.output, clamp=clamp)
                place[task.output] = source
                continue
        place[task.output] = len(result)
        result.append(task)
    return result
