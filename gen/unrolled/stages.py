"""Pipeline stages of an adder graph: registers where the way between two would be too long."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from ortools.linear_solver import pywraplp

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
    """For each row the number of registers before it, with the fewest stages that the target
    allows, and in these the fewest flip-flops.

    Two rows with a way between them that is longer than the target are in different stages
    (Leiserson and Saxe, "Retiming synchronous circuitry", 1991). A value takes as many flip-flops
    as it has bits, from its stage to that of its last user. What is smallest is a linear program
    whose matrix is that of a network, so its corners are whole numbers.

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
    users: list[list[int]] = [[] for _ in range(n + len(graph.rows))]
    for index, row in enumerate(graph.rows, n):
        for value in {o.value for o in row.terms}:
            users[value].append(index)
    own = [0.0] * n + [
        delay.row + delay.bit * (graph.shapes[k].width - graph.base(k - n))
        for k in range(n, len(users))
    ]
    apart = [
        (value, other, distance)
        for value in range(n, len(users))
        for other, distance in _apart(value, users, own, target)
    ]
    earliest = [0] * len(users)
    for value, other, distance in apart:
        earliest[other] = max(earliest[other], earliest[value] + distance)
    last = max(earliest)

    solver = pywraplp.Solver.CreateSolver("GLOP")
    begin = [solver.NumVar(0, last if k >= n else 0, "") for k in range(len(users))]
    for value, other, distance in apart:
        solver.Add(begin[other] >= begin[value] + distance)
    outputs = {o.value for o in graph.outputs if o is not None}
    bits = solver.Objective()
    for value, begins in enumerate(begin):
        end = solver.NumVar(last if value in outputs else 0, last, "")
        for user in (*users[value], value):
            solver.Add(end >= begin[user])
        bits.SetCoefficient(end, graph.shapes[value].width)
        bits.SetCoefficient(begins, -graph.shapes[value].width)
    bits.SetMinimization()
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        raise RuntimeError("the stages of a graph have no optimum")
    return tuple(round(begins.solution_value()) for begins in begin[n:])


def _apart(
    value: int, users: Sequence[Sequence[int]], own: Sequence[float], target: float
) -> Iterator[tuple[int, int]]:
    """Rows behind ``value``, and how many stages at least: 0 for those that read it, or 1 for the
    first on each way that come to an end later than the target allows."""
    ahead = [value]
    longest = {value: own[value]}
    while ahead:
        here = heappop(ahead)
        if here != value and longest[here] > target:
            yield here, 1
            continue
        if here in users[value]:
            yield here, 0
        for user in users[here]:
            if user not in longest:
                heappush(ahead, user)
                longest[user] = 0.0
            longest[user] = max(longest[user], longest[here] + own[user])
