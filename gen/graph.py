"""Graph: integer tensors and the tasks that make them.

The graph is what every later stage and the golden model agree on. It is purely integer: a frontend
has turned each real scale into a multiplier and a shift, each activation function into a table or
a clamp. Task semantics are stated here and in the docstrings of the tasks, in words and formulas;
:mod:`sim.golden` computes them.

Requantisation of an accumulator ``x`` (int32) by ``(multiplier, shift)``, ``multiplier`` in
[0, 2**31) and ``shift`` in [-31, 30], is by default TensorFlow Lite's
``MultiplyByQuantizedMultiplier`` with double rounding:

    left, right = max(shift, 0), max(-shift, 0)
    t = floor(((x << left) * multiplier + 2**30) / 2**31)
    y = t / 2**right, rounded half away from zero

Where an int8 task is ``even``, it is what ONNX Runtime computes in float32, the nearest integer
with halves to even; 12 bits more are kept, so that what is a half but for the rounding of
``multiplier`` counts as one:

    t = floor(((x << left) * multiplier + 2**18) / 2**19)
    y = t / 2**(right + 12), rounded half to even

int16 tensors are fixed-point numbers: zero point 0, scale a power of two. Their accumulators are
exact, however wide, and are requantised by *shift and saturate*, which drops ``s`` bits:

    y = clamp((x + 2**(s - 1)) >> s), and clamp(x) for s = 0

That is a single rounding with multiplier ``2**30`` and shift ``1 - s``.
"""

from dataclasses import dataclass

from .errors import UserError
from .task import Task, Tensor
from .task_copies import Concat, Pad, Pool, Reshape, Slice, Transpose, Upsample
from .task_functions import Interpolate, Lookup, RowSoftmax, Softmax
from .task_products import Add, Conv, ConvTranspose, Dot, MatMul, Multiply

__all__ = [
    "Add",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dot",
    "Graph",
    "Interpolate",
    "Lookup",
    "MatMul",
    "Multiply",
    "Pad",
    "Pool",
    "Reshape",
    "RowSoftmax",
    "Slice",
    "Softmax",
    "Task",
    "Tensor",
    "Transpose",
    "Upsample",
]


@dataclass(frozen=True)
class Graph:
    """Tasks in execution order over named tensors.

    ``inputs`` and ``outputs`` name tensors. :meth:`check` holds for every graph a frontend returns.
    """

    name: str
    tensors: dict[str, Tensor]
    tasks: tuple[Task, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def element_bytes(self) -> int:
        """Bytes of an element, which an accelerator's tensors have in common.

        Raises
        ------
        UserError
            If there are tensors of both types.
        """
        first, *rest = self.tensors.values()
        for tensor in rest:
            if tensor.bits != first.bits:
                raise UserError(
                    f"tensor '{first.name}' is {first.dtype} but '{tensor.name}' is "
                    f"{tensor.dtype}; an accelerator's tensors must have one type"
                )
        return first.bits // 8

    def macs(self) -> int:
        return sum(task.macs(self) for task in self.tasks)

    def producer(self, tensor: str) -> Task | None:
        """The task that makes ``tensor``, or None for an input of the graph."""
        return next((t for t in self.tasks if t.output == tensor), None)

    def check(self) -> None:
        """Raise :class:`UserError` naming the first task that breaks a rule of the graph."""
        for tensor in self.tensors.values():
            tensor.check()
        self._check_order()
        for task in self.tasks:
            try:
                task.check([self.tensors[n] for n in task.inputs], self.tensors[task.output])
            except ValueError as error:
                raise UserError(f"task '{task.name}': {error}") from None

    def _check_order(self) -> None:
        """Names are unique, and every tensor has one source that comes before its readers."""
        known = set(self.inputs)
        for name in self.inputs:
            if name not in self.tensors:
                raise UserError(f"graph input '{name}' is not among the graph's tensors")
        names: set[str] = set()
        for task in self.tasks:
            if task.name in names:
                raise UserError(f"two tasks are named '{task.name}'; names must be unique")
            names.add(task.name)
            for name in task.inputs:
                if name not in known:
                    raise UserError(self._unknown(task, name))
            if task.output not in self.tensors:
                raise UserError(f"task '{task.name}' writes unknown tensor '{task.output}'")
            if task.output in known:
                raise UserError(f"task '{task.name}' writes '{task.output}' a second time")
            known.add(task.output)
        for name in self.outputs:
            if name not in known:
                raise UserError(f"graph output '{name}' has no producer")

    def _unknown(self, task: Task, name: str) -> str:
        """Why ``task`` cannot read ``name``."""
        about = f"task '{task.name}' reads '{name}'"
        producer = self.producer(name)
        if producer is None:
            return f"{about}, which no task produces and which is not an input of the graph"
        if task.output in self._ancestors(name):
            return f"{about}, which depends on its own result '{task.output}'; remove the cycle"
        return f"{about} before task '{producer.name}' produces it; order tasks by their data"

    def _ancestors(self, tensor: str) -> set[str]:
        """``tensor`` and all tensors that it is computed from."""
        producers = {task.output: task for task in self.tasks}
        found: set[str] = set()
        left = [tensor]
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left.extend(producers[name].inputs if name in producers else ())
        return found
