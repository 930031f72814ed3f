# amaranth: UnusedElaboratable=no
import pytest

from gen.unrolled.search import search
from gen.unrolled.stages import Delay, stages
from rtl.unrolled.product import ConstantProduct
from tests.unrolled.matrices import sparse


def graph():
    return search(sparse(16, 8, -128, 127, 0.3, 1), [(-128, 127)] * 16, rounds=100)


def longest(made, chosen, delay):
    """The longest way between two registers."""
    n, ends = len(made.inputs), []
    for index, row in enumerate(made.rows):
        before = [
            ends[o.value - n]
            for o in row.operands
            if o.value >= n and chosen[o.value - n] == chosen[index]
        ]
        cells = made.shapes[n + index].width - made.base(index)
        ends.append(max(before, default=0) + delay.row + delay.bit * cells)
    return max(ends)


@pytest.mark.parametrize("target", [1.0, 2.0, 3.5, 1000.0])
@pytest.mark.parametrize("bit", [0.0, 0.05])
def test_no_way_is_longer_than_the_target_or_a_row(target, bit):
    made, delay = graph(), Delay(1.0, bit)
    chosen = stages(made, target, delay)
    ConstantProduct(made, stages=chosen)
    alone = max(
        delay.row + bit * (shape.width - made.base(k))
        for k, shape in enumerate(made.shapes[len(made.inputs) :])
    )
    assert longest(made, chosen, delay) <= max(target, alone)
    assert min(chosen) == 0


def test_as_few_stages_as_the_depth_allows():
    made = graph()
    depth = max(made.depths)
    for rows in (1, 2, 3, depth):
        assert max(stages(made, rows, Delay(1, 0))) + 1 == -(-depth // rows)


def test_refusal():
    with pytest.raises(ValueError, match=r"^target must be positive, not 0$"):
        stages(graph(), 0, Delay(1, 0))
