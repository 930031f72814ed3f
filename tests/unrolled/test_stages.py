# amaranth: UnusedElaboratable=no
import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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


def registers(made, chosen):
    """Flip-flops between a product's inputs and outputs, counted a stage at a time."""
    first = [*(0 for _ in made.inputs), *chosen]
    until = first[:]
    for stage, row in zip(chosen, made.rows, strict=True):
        for o in row.operands:
            until[o.value] = max(until[o.value], stage)
    for o in made.outputs:
        if o is not None:
            until[o.value] = max(chosen)
    return sum(
        made.shapes[value].width
        for stage in range(max(chosen))
        for value in range(len(first))
        if first[value] <= stage < until[value]
    )


@given(st.integers(0, 2**32), st.sampled_from([1.0, 2.0, 2.5]))
def test_no_other_stages_have_fewer_flip_flops(seed, target):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-9, 10, (3, 2)) * (rng.random((3, 2)) < 0.6)
    made, delay = search(matrix, [(-8, 7)] * 3, rounds=5), Delay(1.0, 0.05)
    assume(1 <= len(made.rows) <= 6)
    chosen = stages(made, target, delay)
    long = max(target, longest(made, range(len(made.rows)), delay))
    every = itertools.product(range(max(chosen) + 1), repeat=len(made.rows))
    allowed = [
        some for some in every if _ordered(made, some) and longest(made, some, delay) <= long
    ]
    assert registers(made, chosen) == min(registers(made, some) for some in allowed)
    assert max(chosen) == min(map(max, allowed))


def _ordered(made, chosen):
    n = len(made.inputs)
    return all(
        o.value < n or chosen[o.value - n] <= stage
        for stage, row in zip(chosen, made.rows, strict=True)
        for o in row.operands
    )


def test_refusal():
    with pytest.raises(ValueError, match=r"^target must be positive, not 0$"):
        stages(graph(), 0, Delay(1, 0))
