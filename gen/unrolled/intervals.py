"""Intervals: the least and greatest value that each tensor of a graph can take."""

from gen.graph import Concat, Graph, Interpolate, Lookup, Pad, Reshape, Slice, Transpose, Upsample

__all__ = ["intervals"]

_MOVES = (Concat, Reshape, Slice, Transpose, Upsample)


def intervals(graph: Graph) -> dict[str, tuple[int, int]]:
    """By tensor, what clamps and tables leave of its type; inputs may be anything."""
    found = {name: graph.tensors[name].limits for name in graph.inputs}
    for task in graph.tasks:
        low, high = graph.tensors[task.output].limits
        if isinstance(task, _MOVES):
            low = min(found[name][0] for name in task.inputs)
            high = max(found[name][1] for name in task.inputs)
        elif isinstance(task, Pad):
            zero = graph.tensors[task.output].zero_point
            low, high = (f(zero, found[task.inputs[0]][k]) for k, f in enumerate((min, max)))
        elif isinstance(task, Lookup):
            low, high = int(task.table.min()), int(task.table.max())
        elif not isinstance(task, Interpolate):
            low, high = getattr(task, "clamp", (low, high))
        found[task.output] = low, high
    return found
