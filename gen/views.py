"""Views: where a tensor's elements lie in the storage that holds them."""

from dataclasses import dataclass

import numpy as np

from .graph import Concat, Graph, Reshape, Slice

__all__ = ["View", "dense_strides", "views"]


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    return tuple(int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape)))


@dataclass(frozen=True)
class View:
    """``shape`` elements of ``storage`` (a tensor's name), ``strides`` and ``offset`` in elements.

    With ``panel``, an image's channels lie in panels of so many, each an image of its own, one
    behind the other; strides are those inside a panel. ``doubled``, it is an image of one channel
    with every pixel shown twice in both directions; strides are those of the stored one.
    """

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    panel: int = 0
    doubled: bool = False

    @property
    def panel_step(self) -> int:
        """From a panel to the next, 0 where there are none."""
        return self.shape[1] * self.strides[1] if self.panel else 0

    @property
    def dense(self) -> bool:
        if self.doubled:
            return False
        pairs = zip(self.shape, self.strides, dense_strides(self.shape), strict=True)
        return all(n == 1 or a == b for n, a, b in pairs)

    def reshaped(self, shape: tuple[int, ...]) -> "View | None":
        """The same elements under another shape, or None where strides cannot express it."""
        if self.dense:
            return View(self.storage, self.offset, shape, dense_strides(shape))
        return None


def views(graph: Graph) -> dict[str, View]:
    """A view of every tensor; reshapes, slices and most concatenations then move nothing.

    A concatenation's input lives inside the output where it has one producer that can write there
    and is neither an input nor an output of the graph; a reshape or slice of a tensor that the
    strides can express is that tensor's storage. All other tensors are storage of their own.
    """
    result: dict[str, View] = {}
    border = {*graph.inputs, *graph.outputs}

    def own(name: str) -> View:
        shape = graph.tensors[name].shape
        return View(name, 0, shape, dense_strides(shape))

    movable = {"conv", "matmul", "pool", "add", "lookup", "softmax", "pad", "transpose"}
    movable |= {"conv_transpose", "interpolate", "multiply", "row_softmax", "upsample"}
    inside: dict[str, View] = {}
    for task in reversed(graph.tasks):
        if not isinstance(task, Concat):
            continue
        outer = inside.get(task.output) or own(task.output)
        at = 0
        for name in task.inputs:
            shape = graph.tensors[name].shape
            producer = graph.producer(name)
            alone = (
                name not in border
                and name not in inside
                and task.inputs.count(name) == 1
                and producer is not None
                and (producer.kind in movable or producer.kind == "concat")
            )
            if alone:
                offset = outer.offset + at * outer.strides[task.axis]
                inside[name] = View(outer.storage, offset, shape, outer.strides)
            at += shape[task.axis]

    for name in graph.inputs:
        result[name] = own(name)
    for task in graph.tasks:
        view = inside.get(task.output)
        if view is None and task.output not in graph.outputs:
            source = result[task.inputs[0]]
            if isinstance(task, Reshape):
                view = source.reshaped(graph.tensors[task.output].shape)
            elif isinstance(task, Slice):
                offset = sum(a * b for a, b in zip(task.start, source.strides, strict=True))
                strides = tuple(a * b for a, b in zip(task.step, source.strides, strict=True))
                shape = graph.tensors[task.output].shape
                view = View(source.storage, source.offset + offset, shape, strides)
        result[task.output] = view or own(task.output)
    return result
