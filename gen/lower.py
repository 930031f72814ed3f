"""Lowering: tasks of a graph become operations of the compute path, fused where it saves a pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .errors import UserError
from .exponential import exponential_table
from .graph import (
    Add,
    Concat,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Pool,
    Reshape,
    Slice,
    Softmax,
    Task,
    Transpose,
)
from .lower_conv import convolutions, pools, product
from .lower_copy import copies
from .lower_pad import padded
from .operation import Geometry, Operation, Residual, Sink
from .views import View, dense_strides, views

__all__ = ["Lowered", "lower"]


@dataclass(frozen=True)
class Lowered:
    """Operations in order, the bytes of each storage, and where each tensor of the graph lies.

    Tensors that fusion skips have no view.
    """

    operations: tuple[Operation, ...]
    storages: Mapping[str, int]
    views: Mapping[str, View]


@dataclass(frozen=True)
class _Fusion:
    """What follows a producer in the same operation."""

    add: Add | None = None
    lookup: Lookup | None = None

    def output(self, task: Task) -> str:
        last = self.lookup or self.add or task
        return last.output


def _fusions(graph: Graph) -> tuple[dict[str, _Fusion], set[str]]:
    """For each convolution or product, the addition and lookup that its epilogue takes over."""
    order = {task.name: i for i, task in enumerate(graph.tasks)}
    made = {task.output: order[task.name] for task in graph.tasks}
    fusions: dict[str, _Fusion] = {}
    fused: set[str] = set()

    def sole(name: str) -> Task | None:
        users = [task for task in graph.tasks if name in task.inputs]
        if name in graph.outputs or len(users) != 1 or users[0].inputs.count(name) != 1:
            return None
        return users[0]

    for task in reversed(graph.tasks):
        if not isinstance(task, Conv | MatMul):
            continue
        add = lookup = None
        follower = sole(task.output)
        if isinstance(follower, Add) and follower.name not in fused:
            other = next(n for n in follower.inputs if n != task.output)
            if follower.even == task.even and made.get(other, -1) < order[task.name]:
                add = follower
                fused.add(add.name)
                follower = sole(add.output)
        if isinstance(follower, Lookup) and follower.name not in fused:
            lookup = follower
            fused.add(lookup.name)
        fusions[task.name] = _Fusion(add, lookup)
    return fusions, fused


class _Lowering:
    def __init__(self, graph: Graph, geometry: Geometry, fuse: bool):
        self.graph, self.geometry = graph, geometry
        self.views = dict(views(graph))
        self.fusions, self.fused = _fusions(graph) if fuse else ({}, set())
        self.temporaries: dict[str, int] = {}
        self.operations: list[Operation] = []

    def _temporary(self, name: str, shape: tuple[int, ...]) -> View:
        self.temporaries[name] = int(np.prod(shape))
        return View(name, 0, shape, dense_strides(shape))

    def _contiguous(self, task: Task, tensor: str) -> View:
        """The view of an image or matrix, copied first where its channels are not contiguous."""
        view = self.views[tensor]
        inner = view.shape[-1] == 1 or view.strides[-1] == 1
        if inner and (not isinstance(task, MatMul) or view.dense):
            return view
        dense = self._temporary(f"{task.name}.input", view.shape)
        self.operations += copies(f"{task.name}_input", (task.name,), view, dense, self.geometry)
        return dense

    def _sink_view(self, task: Task, tensor: str) -> View:
        """Where an operation may write: its channels contiguous, else a temporary."""
        view = self.views[tensor]
        if view.strides[-1] == 1 or view.shape[-1] == 1:
            return view
        return self._temporary(f"{task.name}.output", view.shape)

    def _residual(self, add: Add, produced: str, second: View) -> Residual:
        """The addition's numbers, with ``produced`` as the operand that comes from the array."""
        tensors = self.graph.tensors
        other = next((n for n in add.inputs if n != produced), produced)
        first = add.inputs[0] == produced
        if len(second.shape) == 4:
            _, down, right, _ = second.strides
            pixels = second.shape[2]
            row = down - (pixels - 1) * right
            place = Sink(second.storage, second.offset, right, row, pixels)
        else:
            place = Sink(second.storage, second.offset, row=second.shape[-1])
        return Residual(
            place=place,
            zero_a=tensors[produced].zero_point,
            rescale_a=add.rescale_a if first else add.rescale_b,
            zero_b=tensors[other].zero_point,
            rescale_b=add.rescale_b if first else add.rescale_a,
            rescale_out=add.rescale_out,
            zero_out=tensors[add.output].zero_point,
            clamp=add.clamp,
        )

    def _fusable(self, task: Task, fusion: _Fusion) -> bool:
        """Whether the second operand lies as the epilogue reads it, apart from what is gathered."""
        if fusion.add is None:
            return True
        other = next(n for n in fusion.add.inputs if n != task.output)
        view = self.views[other]
        if view.storage == self.views[task.inputs[0]].storage:
            return False
        return view.strides[-1] == 1 and (len(view.shape) == 4 or view.dense)

    def _array(self, task: Conv | MatMul) -> None:
        fusion = self.fusions.get(task.name, _Fusion())
        tensors = self.graph.tensors
        if not self._fusable(task, fusion):
            self.fused.discard(fusion.add.name if fusion.add else "")
            if fusion.lookup is not None:
                self.fused.discard(fusion.lookup.name)
            fusion = _Fusion()
        output = fusion.output(task)
        source = self._contiguous(task, task.inputs[0])
        wanted = self.views[output]
        sink = self._sink_view(task, output)
        if isinstance(task, MatMul) and not sink.dense:
            sink = self._temporary(f"{task.name}.output", sink.shape)
        x, y = tensors[task.inputs[0]], tensors[task.output]
        if isinstance(task, Conv):
            made = convolutions(task, source, x, sink, y, self.geometry)
        else:
            made = [product(task, source, x, sink, y, self.geometry)]
        changes: dict = {"tasks": (task.name,)}
        if fusion.add is not None:
            other = next(n for n in fusion.add.inputs if n != task.output)
            residual = self._residual(fusion.add, task.output, self.views[other])
            changes["residual"] = residual
            changes["tasks"] += (fusion.add.name,)
        if fusion.lookup is not None:
            changes["table"] = fusion.lookup.table
            changes["tasks"] += (fusion.lookup.name,)
        for operation in made:
            own = dict(changes)
            if "residual" in own:
                # Blocks of groups write and add at the same channel of their pixels.
                shift = operation.sink.offset - sink.offset
                place = own["residual"].place
                moved = replace(place, offset=place.offset + shift)
                own["residual"] = replace(own["residual"], place=moved)
            self.operations.append(replace(operation, **own))
        for name in (task.output, fusion.add.output if fusion.add else output):
            if name != output:
                self.views.pop(name, None)
        if sink is not wanted:
            self.operations += copies(
                f"{task.name}_output", (task.name,), sink, wanted, self.geometry
            )

    def _move(self, task: Task, name: str, source: View, sink: View, **options) -> None:
        self.operations += copies(name, (task.name,), source, sink, self.geometry, **options)

    def _add(self, task: Add) -> None:
        a, b = (self.views[n] for n in task.inputs)
        if a.storage == b.storage:
            # One buffer cannot serve both reads of a cycle.
            copy = self._temporary(f"{task.name}.second", b.shape)
            self._move(task, f"{task.name}_second", b, copy)
            b = copy
        sink = self.views[task.output]
        addition = self._residual(task, task.inputs[0], b)
        self._move(task, task.name, a, sink, second=b, addition=addition, even=task.even)

    def _pad(self, task: Pad) -> None:
        source, sink = self.views[task.inputs[0]], self.views[task.output]
        if not source.dense:
            dense = self._temporary(f"{task.name}.input", source.shape)
            self._move(task, f"{task.name}_input", source, dense)
            source = dense
        axes = [i for i, pair in enumerate(task.padding) if any(pair)]
        if not axes:
            self._move(task, task.name, source, sink)
            return
        shape = list(source.shape)
        groups: list[list[int]] = []
        for axis in reversed(axes):
            if groups and len(groups[-1]) == 1 and groups[-1][0] == axis + 1:
                groups[-1].append(axis)
            else:
                groups.append([axis])
        for i, group in enumerate(groups):
            last = i == len(groups) - 1
            after = list(shape)
            for axis in group:
                after[axis] += sum(task.padding[axis])
            direct = last and sink.dense
            name = f"{task.name}.{i}"
            target = sink if direct else self._temporary(name, tuple(after))
            before, then = tuple(shape), tuple(after)
            self.operations += padded(task, i, source, before, target, then, group, self.geometry)
            source, shape = target, after
        if source is not sink:
            self._move(task, f"{task.name}_output", source, sink)

    def task(self, task: Task) -> None:
        if task.name in self.fused:
            return
        tensors = self.graph.tensors
        if isinstance(task, Conv | MatMul):
            self._array(task)
        elif isinstance(task, Pool):
            source = self._contiguous(task, task.inputs[0])
            sink = self._sink_view(task, task.output)
            x, y = tensors[task.inputs[0]], tensors[task.output]
            self.operations += pools(task, source, x, sink, y, self.geometry)
            if sink is not self.views[task.output]:
                self._move(task, f"{task.name}_output", sink, self.views[task.output])
        elif isinstance(task, Add):
            self._add(task)
        elif isinstance(task, Pad):
            self._pad(task)
        elif isinstance(task, Concat):
            self._concat(task)
        elif isinstance(task, Reshape | Slice | Lookup | Transpose | Softmax):
            self._unary(task)
        else:
            raise UserError(f"task '{task.name}': no hardware for '{task.kind}'")

    def _concat(self, task: Concat) -> None:
        whole = self.views[task.output]
        at = 0
        for i, name in enumerate(task.inputs):
            source = self.views[name]
            offset = whole.offset + at * whole.strides[task.axis]
            part = View(whole.storage, offset, source.shape, whole.strides)
            if source != part:
                self._move(task, f"{task.name}_input{i}", source, part)
            at += source.shape[task.axis]

    def _unary(self, task: Task) -> None:
        source, sink = self.views[task.inputs[0]], self.views[task.output]
        if isinstance(task, Reshape | Slice):
            if source.storage == sink.storage:
                return
            if isinstance(task, Slice):
                offset = sum(a * b for a, b in zip(task.start, source.strides, strict=True))
                strides = tuple(a * b for a, b in zip(task.step, source.strides, strict=True))
                source = View(source.storage, source.offset + offset, sink.shape, strides)
            elif source.dense:
                source = View(source.storage, source.offset, sink.shape, dense_strides(sink.shape))
            else:
                sink = View(sink.storage, sink.offset, source.shape, dense_strides(source.shape))
            self._move(task, task.name, source, sink)
        elif isinstance(task, Transpose):
            strides = tuple(source.strides[i] for i in task.permutation)
            source = View(source.storage, source.offset, sink.shape, strides)
            self._move(task, task.name, source, sink)
        elif isinstance(task, Lookup):
            self._move(task, task.name, source, sink, table=task.table)
        elif isinstance(task, Softmax):
            table = exponential_table(task.multiplier, task.left_shift, task.diff_min)
            softmax = (source.shape[-1], table)
            self._move(task, task.name, source, sink, softmax=softmax)


def _untangled(lowering: _Lowering, graph: Graph) -> Iterator[Operation]:
    """No operation reads the storage that it writes: a word that is read must not change. Where a
    concatenation's parts depend on each other, the part that is read is copied first."""
    for op in lowering.operations:
        own = op.sink.storage
        second = op.residual.place.storage if op.residual else None
        if own in (op.window.storage, second):
            name = f"{own}.{op.name}"
            size = lowering.temporaries.get(own) or graph.tensors[own].size
            lowering.temporaries[name] = size
            whole, copy = (View(n, 0, (size,), (1,)) for n in (own, name))
            yield from copies(f"{op.name}_input", op.tasks, whole, copy, lowering.geometry)
            if op.window.storage == own:
                op = replace(op, window=replace(op.window, storage=name))
            if op.residual is not None and second == own:
                place = replace(op.residual.place, storage=name)
                op = replace(op, residual=replace(op.residual, place=place))
        yield op


def lower(graph: Graph, geometry: Geometry, *, fuse: bool = True) -> Lowered:
    """Operations of ``graph`` for an array of ``geometry``.

    With ``fuse``, a product's epilogue takes over the addition and the lookup that follow it.

    Raises
    ------
    UserError
        Naming the task that the hardware cannot serve, such as any of int16.
    """
    for task in graph.tasks:
        if graph.tensors[task.output].bits != 8:
            raise UserError(
                f"task '{task.name}' is int16, for which there is no accelerator yet; "
                "quantise to int8, or run the golden model"
            )
    lowering = _Lowering(graph, geometry, fuse)
    for task in graph.tasks:
        lowering.task(task)
    lowering.operations = list(_untangled(lowering, graph))
    made = {op.sink.storage for op in lowering.operations}
    for name in graph.outputs:
        if name not in made:
            raise UserError(f"graph output '{name}' is an input that no task changes; remove it")
    storages: dict[str, int] = {}
    kept = {op.sink.storage for op in lowering.operations}
    kept |= {op.window.storage for op in lowering.operations} | {*graph.inputs, *graph.outputs}
    kept |= {op.residual.place.storage for op in lowering.operations if op.residual}
    for name in kept:
        size = lowering.temporaries.get(name)
        storages[name] = graph.tensors[name].size if size is None else size
    ordered = {n: storages[n] for n in (*graph.tensors, *lowering.temporaries) if n in storages}
    return Lowered(tuple(lowering.operations), ordered, lowering.views)
