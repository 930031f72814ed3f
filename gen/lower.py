"""Lowering: tasks of a graph become operations of the compute path, fused where it saves a pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .cost import cycles
from .errors import UserError
from .exponential import exponential_table
from .graph import (
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
    Transpose,
    Upsample,
)
from .lower_conv import convolution, flipped, pools, product
from .lower_copy import copies
from .lower_dot import (
    copied_factor,
    dot,
    factor_name,
    factor_sink,
    factor_size,
    require_shallow,
)
from .lower_pad import padded
from .lower_segments import FREE, Images, Wiring
from .lower_vectors import vectors
from .operation import Geometry, Operation, Residual, Sink, outputs_between
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
    """What follows a producer in the same operation: a second operand, then a table."""

    combination: Add | Multiply | None = None
    lookup: Lookup | Interpolate | None = None
    pool: Pool | None = None

    def output(self, task: Task) -> str:
        last = self.pool or self.lookup or self.combination or task
        return last.output


class _Lowering:
    def __init__(
        self,
        graph: Graph,
        geometry: Geometry,
        fuse: bool,
        wiring: Wiring,
        dense: bool,
        rows: bool,
    ):
        self.dense, self.rows = dense, rows
        self.graph, self.geometry, self.fuse = graph, geometry, fuse
        self.wiring = wiring if wiring.suits(geometry) else None
        self.views = dict(views(graph))
        self.made = {*graph.inputs}
        self.fused: set[str] = set()
        self.temporaries: dict[str, int] = {}
        self.operations: list[Operation] = []

    def _sole(self, name: str) -> Task | None:
        """The one task that reads a tensor, if nothing else does."""
        users = [task for task in self.graph.tasks if name in task.inputs]
        if name in self.graph.outputs or len(users) != 1 or users[0].inputs.count(name) != 1:
            return None
        return users[0]

    def _fusion(self, task: Conv | ConvTranspose | MatMul | Dot) -> _Fusion:
        """What the epilogue of a product takes over: a sum or product with a tensor that is there
        already, and lies as the epilogue reads it and apart from what is gathered; a table."""
        if not self.fuse:
            return _Fusion()
        combination = None
        follower = self._sole(task.output)
        if isinstance(follower, Add | Multiply) and self._combines(task, follower):
            combination, follower = follower, self._sole(follower.output)
        lookup = follower if isinstance(follower, Lookup | Interpolate) else None
        pool = None
        if combination is None and isinstance(follower, Pool) and self._halves(task, follower):
            pool = follower
        return _Fusion(combination, lookup, pool)

    def _halves(self, task: Task, pool: Pool) -> bool:
        """Whether the epilogue can take the maxima of 2 by 2 pixels behind a convolution."""
        if self._int8 or self.dense or not isinstance(task, Conv) or pool.mode != "max":
            return False
        if pool.kernel != (2, 2) or pool.stride != (2, 2) or any(pool.padding):
            return False
        sink = self.views[pool.output]
        source = self.views[task.inputs[0]]
        return bool(self._convolution(task, source, sink, pooled=True))

    def _combines(self, task: Task, follower: Add | Multiply) -> bool:
        other = next(n for n in follower.inputs if n != task.output)
        tensors, even = self.graph.tensors, getattr(task, "even", False)
        if other not in self.made or tensors[other].shape != tensors[task.output].shape:
            return False
        if isinstance(follower, Multiply) and self._int8:
            return False
        view = self.views[other]
        return (
            not (self.views[task.inputs[0]].panel or self.views[task.inputs[0]].doubled)
            and getattr(follower, "even", even) == even
            and view.storage not in {self.views[name].storage for name in task.inputs}
            and view.strides[-1] == 1
            and (len(view.shape) == 4 or view.dense)
        )

    @property
    def _int8(self) -> bool:
        return self.geometry.element_bytes == 1

    def _temporary(self, name: str, shape: tuple[int, ...]) -> View:
        self.temporaries[name] = int(np.prod(shape))
        return View(name, 0, shape, dense_strides(shape))

    def _contiguous(self, task: Task, tensor: str) -> View:
        """The view of an image or matrix, copied first where its channels are not contiguous."""
        view = self.views[tensor]
        inner = view.shape[-1] == 1 or view.strides[-1] == 1
        if inner and (not isinstance(task, MatMul | Dot) or view.dense):
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

    def _residual(self, task: Add | Multiply, produced: str, second: View) -> Residual:
        """The numbers of a sum or product, with ``produced`` as the operand that comes from the
        array."""
        tensors = self.graph.tensors
        other = next((n for n in task.inputs if n != produced), produced)
        if len(second.shape) == 4:
            _, down, right, _ = second.strides
            pixels = second.shape[2]
            row = down - (pixels - 1) * right
            place = Sink(second.storage, second.offset, right, row, pixels)
        else:
            place = Sink(second.storage, second.offset, row=second.shape[-1])
        rescales = [(0, 0), (0, 0), (0, 0)]
        if isinstance(task, Add):
            rescales = [task.rescale_a, task.rescale_b, task.rescale_out]
            if task.inputs[0] != produced:
                rescales[:2] = rescales[1::-1]
        else:
            rescales[2] = (task.multiplier, task.shift)
        return Residual(
            place=place,
            zero_a=tensors[produced].zero_point,
            rescale_a=rescales[0],
            zero_b=tensors[other].zero_point,
            rescale_b=rescales[1],
            rescale_out=rescales[2],
            zero_out=tensors[task.output].zero_point,
            clamp=task.clamp,
            multiply=isinstance(task, Multiply),
        )

    def _array(self, task: Conv | ConvTranspose | MatMul) -> None:
        fusion = self._fusion(task)
        tensors = self.graph.tensors
        output = fusion.output(task)
        source = self._contiguous(task, task.inputs[0])
        wanted = self.views[output]
        sink = self._sink_view(task, output)
        if isinstance(task, MatMul) and not sink.dense:
            sink = self._temporary(f"{task.name}.output", sink.shape)
        x, y = tensors[task.inputs[0]], tensors[task.output]
        if isinstance(task, MatMul):
            made = [product(task, source, x, sink, y, self.geometry)]
        else:
            conv = flipped(task) if isinstance(task, ConvTranspose) else task
            if sink is wanted and fusion.combination is None and fusion.pool is None:
                sink = wanted = self._panelled(conv, output, sink)
            alone, pooled = fusion.combination is None, fusion.pool is not None
            made = self._convolution(conv, source, sink, alone=alone, pooled=pooled)
        factor = self._factor(task, output)
        if not self._int8:
            made = [part for operation in made for part in _of_one_shift(operation)]
        if factor is not None and len(made) == 1 and fusion.combination is None:
            outputs, size = self.graph.tensors[output].shape[:: 1 if factor.transpose_b else -1]
            total = factor_size(outputs, size, self.geometry)
            self.temporaries[factor_name(factor)] = total
            place = factor_sink(factor, self.graph.tensors[output].shape, self.geometry)
            made = [replace(made[0], sink=place)]
            sink = wanted
        self._finish(task, fusion, made, sink, wanted)

    def _convolution(
        self, task: Conv, source: View, sink: View, *, alone: bool = True, pooled: bool = False
    ) -> list[Operation]:
        """``task`` from one view to another; by segments only where it is ``alone``, without a
        second operand, and its outputs can share a word."""
        alike = self._int8 or np.ptp(task.shift) == 0
        wiring = self.wiring if alone and alike else None
        images = self._images(task, source, sink, pooled=pooled)
        return convolution(task, images, self.geometry, wiring)

    def _images(
        self, task: Conv | Pool, source: View, sink: View, *, pooled: bool = False
    ) -> Images:
        x, y = self.graph.tensors[task.inputs[0]], self.graph.tensors[task.output]
        banded = source.storage in self.graph.inputs or sink.storage in self.graph.outputs
        return Images(source, x, sink, y, pooled, banded)

    def _panelled(self, maker: Conv, output: str, sink: View) -> View:
        """Where ``maker`` writes: in panels of as many channels as the array has columns, where
        only depthwise convolutions read it and are quicker so."""
        channels, cols = sink.shape[-1], self.geometry.cols
        alike = self._int8 or np.ptp(maker.shift) == 0
        if self.wiring is None or self.dense or maker.groups > 1 or channels <= cols or not alike:
            return sink
        if sink.storage != output or not sink.dense or output in self.graph.outputs:
            return sink
        _, height, width, _ = sink.shape
        size = -(-channels // cols) * cols * height * width
        panels = View(output, 0, sink.shape, (size, width * cols, cols, 1), cols)
        for task in self.graph.tasks:
            if output not in task.inputs:
                continue
            if not isinstance(task, Conv) or task.groups != channels:
                return sink
            made = [self._convolution(task, v, self.views[task.output]) for v in (sink, panels)]
            now, then = (cycles(ops, self.geometry, self.wiring.word_bytes) for ops in made)
            if not made[1] or then >= now:
                return sink
        self.views[output] = panels
        self.temporaries[output] = size
        return panels

    def _finish(
        self, task: Task, fusion: _Fusion, made: list[Operation], sink: View, wanted: View
    ) -> None:
        """Adds what was fused to the operations of a product, and moves the result where it belongs
        if it could not be written there."""
        changes: dict = {"tasks": (task.name,)}
        if fusion.combination is not None:
            other = next(n for n in fusion.combination.inputs if n != task.output)
            residual = self._residual(fusion.combination, task.output, self.views[other])
            changes["residual"] = residual
            changes["tasks"] += (fusion.combination.name,)
        if fusion.lookup is not None:
            changes["table"] = fusion.lookup.table
            changes["tasks"] += (fusion.lookup.name,)
        if fusion.pool is not None:
            low, high = fusion.pool.clamp
            changes["clamp"] = (max(made[0].clamp[0], low), min(made[0].clamp[1], high))
            changes["tasks"] += (fusion.pool.name,)
        for operation in made:
            own = dict(changes)
            if "residual" in own:
                # Blocks of groups write and add at the same channel of their pixels.
                shift = operation.sink.offset - sink.offset
                place = own["residual"].place
                moved = replace(place, offset=place.offset + shift)
                own["residual"] = replace(own["residual"], place=moved)
            self.operations.append(replace(operation, **own))
        output = fusion.output(task)
        for follower in (fusion.combination, fusion.lookup, fusion.pool):
            if follower is not None:
                self.fused.add(follower.name)
        for name in (task.output, fusion.combination.output if fusion.combination else output):
            if name != output:
                self.views.pop(name, None)
        self.made.add(output)
        if sink is not wanted:
            self.operations += copies(
                f"{task.name}_output", (task.name,), sink, wanted, self.geometry
            )

    def _dot(self, task: Dot) -> None:
        require_shallow(task, self.geometry)
        left, right = task.inputs
        fusion, softmax = self._fusion(task), self._softmax_after(task)
        output = softmax.output if softmax else fusion.output(task)
        wanted = self.views[output]
        sink = wanted if wanted.dense else self._temporary(f"{task.name}.output", wanted.shape)
        outputs = self.graph.tensors[task.output].shape[1]
        source = self._contiguous(task, left)
        if factor_name(task) not in self.temporaries:
            size = factor_size(outputs, source.shape[1], self.geometry)
            self.temporaries[factor_name(task)] = size
            self.operations += copied_factor(task, self.views[right], self.geometry)
        fraction = softmax.fraction_bits if softmax else None
        made = dot(task, source, sink, outputs, self.geometry, fraction)
        self._finish(task, fusion, [made], sink, wanted)
        if softmax is not None:
            self.fused.add(softmax.name)
            self.operations[-1] = replace(made, tasks=(task.name, softmax.name))
            self.views.pop(task.output)
            self.made.add(output)

    def _softmax_after(self, task: Dot) -> RowSoftmax | None:
        """A softmax of the rows of a product, which come whole where the array has one row."""
        follower = self._sole(task.output)
        fits = self.fuse and self.geometry.rows == 1
        return follower if fits and isinstance(follower, RowSoftmax) else None

    def _factor(self, task: Task, output: str) -> Dot | None:
        """The product that takes what ``task`` makes as weights, and nothing else does."""
        follower = self._sole(output)
        if not self.fuse or not isinstance(task, MatMul) or not isinstance(follower, Dot):
            return None
        return follower if follower.inputs[1] == output else None

    def _move(self, task: Task, name: str, source: View, sink: View, **options) -> None:
        made = copies(name, (task.name,), source, sink, self.geometry, **options)
        if self.wiring is not None:
            second = options.get("second")
            made = vectors(made, source, sink, second, self.geometry, self.wiring, rows=self.rows)
        self.operations += made

    def _combine(self, task: Add | Multiply) -> None:
        first, other = task.inputs
        if self.views[other].shape != self.graph.tensors[task.output].shape:
            first, other = other, first
        a, b = self.views[first], self.views[other]
        if a.storage == b.storage or (b.strides[-1] != 1 and b.shape[-1] != 1):
            # One buffer cannot serve both reads of a cycle; the second operand is read in groups.
            copy = self._temporary(f"{task.name}.second", b.shape)
            self._move(task, f"{task.name}_second", b, copy)
            b = copy
        sink = self.views[task.output]
        if a.shape != sink.shape:
            a = View(a.storage, a.offset, sink.shape, (*a.strides[:3], 0))
        addition = self._residual(task, first, b)
        even = task.even if isinstance(task, Add) else False
        self._move(task, task.name, a, sink, second=b, addition=addition, even=even)

    def _upsample(self, task: Upsample) -> None:
        """A copy for each place that a pixel has among the pixels that are made of it; none where
        only convolutions read it, by segments that show each pixel of the source twice."""
        source, sink, by = self.views[task.inputs[0]], self.views[task.output], task.factor
        shown = View(source.storage, source.offset, sink.shape, source.strides, doubled=True)
        users = [user for user in self.graph.tasks if task.output in user.inputs]
        alike = by == 2 and not self.dense and task.output not in self.graph.outputs
        if alike and all(
            isinstance(user, Conv) and self._convolution(user, shown, self.views[user.output])
            for user in users
        ):  # fmt: skip
            self.views[task.output] = shown
            return
        strides = tuple(n * by if axis in (1, 2) else n for axis, n in enumerate(sink.strides))
        for y, x in np.ndindex(by, by):
            offset = sink.offset + y * sink.strides[1] + x * sink.strides[2]
            part = View(sink.storage, offset, source.shape, strides)
            self._move(task, f"{task.name}_{y}{x}", source, part)

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
        if isinstance(task, Conv | ConvTranspose | MatMul):
            self._array(task)
        elif isinstance(task, Pool):
            source = self._contiguous(task, task.inputs[0])
            sink = self._sink_view(task, task.output)
            images = self._images(task, source, sink)
            self.operations += pools(task, images, self.geometry, self.wiring)
            if sink is not self.views[task.output]:
                self._move(task, f"{task.name}_output", sink, self.views[task.output])
        elif isinstance(task, Add) or (isinstance(task, Multiply) and not self._int8):
            self._combine(task)
        elif isinstance(task, Upsample):
            self._upsample(task)
        elif isinstance(task, Dot) and not self._int8:
            self._dot(task)
        elif isinstance(task, Pad):
            self._pad(task)
        elif isinstance(task, Concat):
            self._concat(task)
        elif isinstance(task, Reshape | Slice | Transpose):
            self._unary(task)
        elif isinstance(task, Lookup | Interpolate | Softmax | RowSoftmax):
            self._function(task)
        else:
            kind = f"'{task.kind}' of {self.graph.tensors[task.output].dtype}"
            raise UserError(f"task '{task.name}': no hardware for {kind}")
        self.made.add(task.output)

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

    def _function(self, task: Lookup | Interpolate | Softmax | RowSoftmax) -> None:
        source, sink = self.views[task.inputs[0]], self.views[task.output]
        options: dict = {}
        if isinstance(task, Lookup | Interpolate):
            options["table"] = task.table
        elif isinstance(task, Softmax):
            table = exponential_table(task.multiplier, task.left_shift, task.diff_min)
            options["softmax"] = (source.shape[-1], table)
        else:
            options["softmax"] = (source.shape[-1], np.empty(0, np.int64))
            options["fraction_bits"] = task.fraction_bits
        self._move(task, task.name, source, sink, **options)


def _of_one_shift(op: Operation) -> Iterator[Operation]:
    """Parts of ``op`` whose outputs drop equally many bits, as int16 lanes do."""
    edges = [0, *(np.flatnonzero(np.diff(op.shift)) + 1).tolist(), op.outputs]
    if len(edges) == 2:
        yield op
        return
    for i, (low, high) in enumerate(pairwise(edges)):
        yield replace(outputs_between(op, low, high), name=f"{op.name}_outputs{i}")


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


def lower(
    graph: Graph,
    geometry: Geometry,
    *,
    fuse: bool = True,
    wiring: Wiring = FREE,
    dense: bool = False,
    rows: bool = False,
) -> Lowered:
    """Operations of ``graph`` for an array of ``geometry``.

    With ``fuse``, a product's epilogue takes over the sum, or of int16 the product, with another
    tensor and the table that follow it. ``wiring`` is what segments there may be.
    With ``dense``, no tensor lies in panels, is pooled on its way or shown twice, so that all
    geometries lay it out alike. With ``rows``, copies of images are made row by row, so that they
    can take turns with what makes and reads them.

    Raises
    ------
    UserError
        Naming the task that the hardware cannot serve, or tensors of different types.
    """
    if graph.element_bytes != geometry.element_bytes:
        raise ValueError(f"geometry must be for elements of {graph.element_bytes} bytes")
    lowering = _Lowering(graph, geometry, fuse, wiring, dense, rows)
    for task in graph.tasks:
        lowering.task(task)
    lowering.operations = list(_untangled(lowering, graph))
    made = {op.sink.storage for op in lowering.operations}
    for name in graph.outputs:
        if name not in made:
            raise UserError(f"graph output '{name}' is an input that no task changes; remove it")
    kept = {op.sink.storage for op in lowering.operations}
    kept |= {op.window.storage for op in lowering.operations} | {*graph.inputs, *graph.outputs}
    kept |= {op.residual.place.storage for op in lowering.operations if op.residual}
    sizes = {name: tensor.size for name, tensor in graph.tensors.items()} | lowering.temporaries
    storages = {n: size * geometry.element_bytes for n, size in sizes.items() if n in kept}
    return Lowered(tuple(lowering.operations), storages, lowering.views)
