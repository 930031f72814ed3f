"""Pipeline stages of an adder graph: registers where the way between two would be too long."""

from dataclasses import dataclass

from rtl.unrolled.graph import AdderGraph

__all__ = ["Delay", "stages"]


@dataclass(frozen=True)
class Delay:
    """How long a row takes: ``row`` for its cells and the wires to them, ``bit`` along a carry.

    The unit is free; a target is in the same.
    """

    row: float
    bit: float


def stages(graph: AdderGraph, target: float, delay: Delay) -> tuple[int, ...]:
    """For each row the number of registers before it, as few as the target allows.

    Every row comes as late as its users allow, since sums are fewer than their operands.

    Parameters
    ----------
    graph
        What is cut into stages.
    target
        At most so long is any way between two registers, but for rows that alone take longer.
    delay
        Of a row.

    Raises
    ------
    ValueError
        If ``target`` is not positive.
    """
    if target <= 0:
        raise ValueError(f"target must be positive, not {target}")
    n = len(graph.inputs)
    # Stages are counted backwards from the outputs, and with them the time from a row's start to
    # the end of its stage.
    stage = [0] * len(graph.rows)
    rest = [0.0] * len(graph.rows)
    users: list[list[int]] = [[] for _ in graph.rows]
    for index, row in enumerate(graph.rows):
        for o in row.terms:
            if o.value >= n:
                users[o.value - n].append(index)
    for index in range(len(graph.rows) - 1, -1, -1):
        own = delay.row + delay.bit * (graph.shapes[n + index].width - graph.base(index))
        fits = {user: rest[user] + own <= target for user in users[index]}
        stage[index] = max((stage[user] + (not fit) for user, fit in fits.items()), default=0)
        after = [rest[user] for user in users[index] if stage[user] == stage[index]]
        rest[index] = own + max(after, default=0.0)
    last = max(stage, default=0)
    return tuple(last - s for s in stage)
