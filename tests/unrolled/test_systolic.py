import pytest

from gen.unrolled.kernels import Kernel, numbers, weights
from intarsia.unrolled_circuits import array


@pytest.mark.parametrize(("arithmetic", "width"), [("exact", "4"), ("kratos", "mixed")])
@pytest.mark.parametrize(("rows", "cols"), [(5, 3), (1, 4), (4, 1)])
def test_a_loaded_array_multiplies(arithmetic, width, rows, cols):
    shape = Kernel("systolic", "odd", rows, (0,), (rows, cols), (tuple(range(rows)),))
    kind = numbers(arithmetic, width)
    matrix = weights((rows, cols), kind, 0.2, 1)
    made = array(shape, matrix, kind)
    assert made.latency == rows + cols - 1
    assert made.mismatches(kind, matrix, 2) == 0
    matrix[0, 0] += 1
    assert made.mismatches(kind, matrix, 2) > 100
