# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from rtl.unrolled.graph import AdderGraph, Operand, Row, Shape, shape_of
from rtl.unrolled.product import ConstantProduct


@pytest.mark.parametrize(
    ("interval", "shape"),
    [
        ((0, 0), Shape(0, False)),
        ((0, 1), Shape(1, False)),
        ((0, 255), Shape(8, False)),
        ((-128, 127), Shape(8, True)),
        ((-129, 0), Shape(9, True)),
        ((-1, 0), Shape(1, True)),
        ((-5, -2), Shape(4, True)),
    ],
)
def test_shape_of_an_interval(interval, shape):
    assert shape_of(*interval) == shape


def test_intervals_know_that_an_input_comes_twice():
    # 4x - x is 3x, not -4 * 128 - 127.
    graph = AdderGraph(((-128, 127),), (Row((Operand(0, 2), Operand(0, 0, True))),), (Operand(1),))
    assert graph.intervals[1] == (-384, 381)
    assert graph.values([[5], [-128]]).tolist() == [[15], [-384]]


def test_only_bits_that_are_read_are_built():
    rows = (Row((Operand(0), Operand(1, 3))), Row((Operand(2, 2), Operand(1))))
    graph = AdderGraph(((0, 255), (0, 255)), rows, (Operand(3),), modulus_bits=6)
    assert [s.width for s in graph.shapes] == [4, 6, 4, 6]


def test_a_sum_of_natural_numbers_has_its_last_bit_from_the_carry():
    two = AdderGraph(((0, 255),) * 2, (Row((Operand(0), Operand(1))),), (Operand(2),))
    assert (two.shapes[2].width, two.area) == (9, 8)
    signed = AdderGraph(((-128, 127),) * 2, (Row((Operand(0), Operand(1))),), (Operand(2),))
    assert (signed.shapes[2].width, signed.area) == (9, 9)
    apart = AdderGraph(((-8, 7),) * 2, (Row((Operand(0), Operand(1, 2))),), (Operand(2),))
    assert (apart.shapes[2].width, apart.base(0), apart.area) == (7, 2, 5)


def test_refusals():
    two = ((0, 1),) * 2
    with pytest.raises(ValueError, match=r"^a graph must have inputs and outputs$"):
        AdderGraph(two, (), ())
    with pytest.raises(ValueError, match=r"^row 0 must have 1 to 3 operands, not 4$"):
        AdderGraph(two, (Row((Operand(0),) * 4),), (None,))
    with pytest.raises(ValueError, match=r"^row 0 must come after all its operands$"):
        AdderGraph(two, (Row((Operand(0), Operand(2))),), (None,))
    with pytest.raises(ValueError, match=r"^row 0 must have an operand that is not negated$"):
        AdderGraph(two, (Row((Operand(0, 0, True),) * 3),), (None,))
    with pytest.raises(ValueError, match=r"^outputs must not be negated; give them a row$"):
        AdderGraph(two, (), (Operand(0, 0, True),))
    graph = AdderGraph(two, (Row((Operand(0), Operand(1))),) * 1, (Operand(2),))
    with pytest.raises(ValueError, match=r"^stages must be 1 numbers, not 2$"):
        ConstantProduct(graph, stages=(0, 1))
    chain = AdderGraph(
        two, (Row((Operand(0), Operand(1))), Row((Operand(2), Operand(1)))), (Operand(3),)
    )
    with pytest.raises(ValueError, match=r"^a row must not come before its operands$"):
        ConstantProduct(chain, stages=(1, 0))


def test_values_add_up_what_coefficients_say():
    rows = (Row((Operand(0), Operand(1, 1, True))), Row((Operand(2, 3), Operand(0), Operand(1))))
    graph = AdderGraph(((-8, 7),) * 2, rows, (Operand(3, 1), None))
    x = np.array([[3, -4], [-8, 7]])
    assert (graph.values(x) == x @ np.array([[18, 0], [-30, 0]])).all()
    assert graph.depths == [0, 0, 1, 2]


def test_guests_need_room():
    graph = AdderGraph(
        ((0, 7), (0, 7)), (Row((Operand(0), Operand(1)), (Operand(1),)),), (Operand(2),), 3
    )
    with pytest.raises(ValueError, match=r"^row 0 has no room for its guests$"):
        ConstantProduct(graph)
