"""Geometries: which shapes the array could have, and roughly how fast each would be."""

from collections.abc import Iterator, Sequence

from rtl.lane import multipliers_per_lane

from .cost import cycles
from .errors import UserError
from .graph import Graph
from .lower import lower
from .operation import Geometry, Operation
from .target import Target

__all__ = ["WIDEST", "candidates", "word_bytes_for"]

DEPTHS = {1: range(2, 33), 2: range(1, 33)}
"""By the bytes of an element. Of int16, a depth of one still reads two elements a cycle."""

MULTIPLIERS_PER_LANE = {1: multipliers_per_lane(True), 2: 2}
"""By the bytes of an element: to requantise and add, or to multiply and to interpolate."""

ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16)
LANES = (1, 2, 4, 8, 16)
MOST_COLS = 64


WIDEST = 128
"""Bytes of the widest buffer word that is made for segments, and of the widest group of results of
an array that has others beside it twice as many."""


def word_bytes_for(geometry: Geometry, axi_bytes: int, operations: Sequence[Operation]) -> int:
    """Width of buffer words: enough for the gather unit's patches and, up to a limit, its segments,
    for a group of results, and for a beat of the channel."""
    sizes = (op.window.segments.size for op in operations if op.window.segments)
    elements = max(sizes, default=0)
    unit = geometry.element_bytes
    window = unit * min(32, 1 << geometry.depth.bit_length())
    segment = min(WIDEST, _power_of_two(unit * elements))
    return max(axi_bytes, 4, window, segment, _power_of_two(unit * geometry.lanes))


def _power_of_two(count: int) -> int:
    """The least one that is not less."""
    return 1 << max(0, count - 1).bit_length()


def _shapes(target: Target, element_bytes: int) -> Iterator[Geometry]:
    budget = target.multipliers
    depths, per_lane = DEPTHS[element_bytes], MULTIPLIERS_PER_LANE[element_bytes]
    # Large arrays differ little from one column to the next.
    step = 1 if budget < 512 else 4
    for rows in ROWS:
        for cols in range(step, min(MOST_COLS, budget // (depths[0] * rows)) + 1, step):
            most = min(budget // (rows * cols), depths[-1])
            # The deepest that fits, and the power of two below it, which packs well into beats.
            for depth in sorted({most, 1 << (most.bit_length() - 1)}) if most else ():
                # A lane for every column lets columns have operands of their own.
                for lanes in sorted({*LANES, cols}) if rows == 1 else LANES:
                    # The lanes' multipliers and the softmax unit's stay below half the array's.
                    fits = 2 * (lanes * per_lane + 1) <= rows * cols * depth
                    if depth >= depths[0] and cols % lanes == 0 and (fits or lanes == 1):
                        yield Geometry(rows, cols, depth, lanes, element_bytes)


def _stream(operations: Sequence[Operation], geometry: Geometry, target: Target) -> int:
    """Beats of all weights and biases, if they cannot stay on chip; otherwise none."""
    heavy = [op for op in operations if op.weights is not None]
    words = sum(op.passes(geometry) * op.words(geometry) for op in heavy)
    size = geometry.cols * geometry.depth * geometry.element_bytes
    if words * size <= target.onchip_bytes:
        return 0
    beat = target.offchip_bytes_per_cycle
    return words * -(-size // beat) + sum(4 * op.outputs for op in heavy) // beat


def _least(graph: Graph, geometry: Geometry) -> float:
    """Cycles that products take at least: a quarter of their taps may be padding that is left out,
    and each output passes a lane."""
    products = [task for task in graph.tasks if task.macs(graph)]
    return sum(
        max(
            0.75 * task.macs(graph) / geometry.multipliers,
            graph.tensors[task.output].size / geometry.lanes,
        )
        for task in products
    )


def candidates(graph: Graph, target: Target, most: int) -> list[tuple[int, Geometry]]:
    """Estimated cycles and geometry of the best ``most``, best first; of equals, the one with fewer
    lanes.

    Raises
    ------
    UserError
        If none of the geometries serves the graph.
    """

    def order(pair: tuple[int, Geometry]) -> tuple[int, int, int, int]:
        return pair[0], pair[1].lanes, pair[1].rows, pair[1].cols

    ranked: list[tuple[int, Geometry]] = []
    refusal: UserError | None = None
    shapes = [(_least(graph, shape), shape) for shape in _shapes(target, graph.element_bytes)]
    for least, geometry in sorted(shapes, key=lambda pair: pair[0]):
        if len(ranked) == most and least > ranked[-1][0]:
            break
        try:
            operations = lower(graph, geometry).operations
        except UserError as error:
            refusal = refusal or error
            continue
        word_bytes = word_bytes_for(geometry, target.offchip_bytes_per_cycle, operations)
        busy = cycles(operations, geometry, word_bytes)
        beats = _stream(operations, geometry, target)
        # Where the channel is the bound, what is left to compute at its end still counts a little.
        ranked.append((max(busy, beats) + min(busy, beats) // 16, geometry))
        ranked = sorted(ranked, key=order)[:most]
    if refusal is not None and not ranked:
        raise refusal
    return ranked
