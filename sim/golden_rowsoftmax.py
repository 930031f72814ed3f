"""Golden softmax of int16 rows.

Errors are against float64's softmax of the same integers, saturated at ``32767 / 32768``, in units
of the last bit, 2**-15. Half of one is rounding's; at most :data:`ERROR` are seen in rows of 2 to
2048 elements, random and extreme ones, at every number of fraction bits.
"""

import numpy as np

from gen.graph import Graph, RowSoftmax

__all__ = ["ERROR", "row_softmax"]

ERROR = 0.8

SEGMENTS = 128
LOG2_E = 189097
"""log2(e) * 2**17, rounded."""


def row_softmax(graph: Graph, task: RowSoftmax, x: np.ndarray) -> np.ndarray:
    """int64 (..., N), in units of 2**-15, of int16 (..., N)."""
    row = x.astype(np.int64)
    below = row.max(axis=-1, keepdims=True) - row
    octaves, rest = np.divmod(below * LOG2_E >> (task.fraction_bits + 1), 1 << 16)
    octaves = np.minimum(octaves, 31)
    segment, within = np.divmod(rest, (1 << 16) // SEGMENTS)
    points = np.rint(np.exp2(20 - np.arange(SEGMENTS + 1) / SEGMENTS)).astype(np.int64)
    drop = (points[segment] - points[segment + 1]) * within
    power = points[segment] - drop // ((1 << 16) // SEGMENTS)
    total = ((power << 8) >> octaves).sum(axis=-1, keepdims=True)
    reciprocal = ((1 << 46) - 1) // total
    quotient = (power + 8 >> 4) * reciprocal
    return np.minimum((quotient + (1 << 18 << octaves)) >> (19 + octaves), (1 << 15) - 1)
