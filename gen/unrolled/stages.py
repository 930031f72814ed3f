"""Pipeline stages of an adder graph: registers where the way between two would be too long."""

from rtl.unrolled.graph import AdderGraph

__all__ = ["stages"]


def stages(graph: AdderGraph, rows: int) -> tuple[int, ...]:
    """For each row the number of registers before it.

    Parameters
    ----------
    graph
        What is cut into stages.
    rows
        At most so many rows, one after another, lie between two registers.

    Raises
    ------
    ValueError
        If ``rows`` is not positive.
    """
    if rows < 1:
        raise ValueError(f"rows must be positive, not {rows}")
    n = len(graph.inputs)
    latest = _latest(graph)
    last = max(graph.depths, default=0)
    result = []
    for index, depth in enumerate(graph.depths[n:]):
        # As late as its users allow where that costs no stage: sums are fewer than their operands.
        result.append((max(depth, last - latest[n + index]) - 1) // rows)
    return tuple(result)


def _latest(graph: AdderGraph) -> list[int]:
    """Rows on the longest way from every value to an output."""
    result = [0] * (len(graph.inputs) + len(graph.rows))
    for index in range(len(graph.rows) - 1, -1, -1):
        for o in graph.rows[index].operands:
            after = 1 + result[len(graph.inputs) + index]
            result[o.value] = max(result[o.value], after)
    return result
