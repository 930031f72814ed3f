"""What of a model maps onto the hardware, task by task, without building anything."""

from dataclasses import dataclass, replace

from gen.errors import UserError
from gen.graph import Graph, Task
from gen.lower import lower
from gen.operation import Geometry

__all__ = ["TaskCheck", "check"]


def _geometry(graph: Graph) -> Geometry:
    """Whether a task maps does not depend on its sizes."""
    return Geometry(rows=1, cols=8, depth=8, lanes=4, element_bytes=graph.element_bytes)


@dataclass(frozen=True)
class TaskCheck:
    """A task and its volumes; ``obstacle`` is why it does not map, None where it does.

    A ``view`` costs nothing: another task reads or writes its data where they lie.
    """

    name: str
    kind: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    macs: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    obstacle: str | None
    view: bool = False


def check(graph: Graph) -> tuple[TaskCheck, ...]:
    """Every task of ``graph`` in order."""
    tasks = tuple(_checked(graph, task) for task in graph.tasks)
    if any(task.obstacle for task in tasks):
        return tasks
    operations = lower(graph, _geometry(graph)).operations
    working = {name for operation in operations for name in operation.tasks}
    return tuple(replace(task, view=task.name not in working) for task in tasks)


def _checked(graph: Graph, task: Task) -> TaskCheck:
    tensors = graph.tensors
    names = (*dict.fromkeys(task.inputs), task.output)
    alone = Graph(
        name=graph.name,
        tensors={name: tensors[name] for name in names},
        tasks=(task,),
        inputs=names[:-1],
        outputs=(task.output,),
    )
    obstacle = None
    try:
        lower(alone, _geometry(alone))
    except UserError as error:
        obstacle = str(error)
    return TaskCheck(
        name=task.name,
        kind=task.kind,
        inputs=tuple(tensors[name].shape for name in task.inputs),
        output=tensors[task.output].shape,
        macs=task.macs(graph),
        weight_bytes=task.weight_bytes(graph),
        input_bytes=sum(tensors[name].bytes for name in task.inputs),
        output_bytes=tensors[task.output].bytes,
        obstacle=obstacle,
    )
