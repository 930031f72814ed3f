"""What int16 graphs become: fused epilogues, parts of one shift, and refusals by name."""

import numpy as np
import pytest

from gen.errors import UserError
from gen.lower import lower
from gen.operation import Geometry
from intarsia.graph import GraphBuilder

WIDE = Geometry(rows=1, cols=8, depth=4, lanes=2, element_bytes=2)
NARROW = Geometry(rows=1, cols=8, depth=4, lanes=2)


def test_the_product_of_two_products_is_fused_where_the_other_is_there():
    g = GraphBuilder("gated")
    x = g.input("x", (3, 16), fraction_bits=10, bits=16)
    weights = np.ones((16, 8), np.int16)
    up = g.matmul(x, weights, name="up", weight_fraction_bits=4, fraction_bits=10)
    gate = g.matmul(x, weights, name="gate", weight_fraction_bits=4, fraction_bits=10)
    g.output(g.multiply(g.silu(up, name="silu"), gate, name="h", fraction_bits=10))
    operations = lower(g.build(), WIDE).operations
    assert [op.tasks for op in operations] == [("up", "silu"), ("gate", "h")]
    assert operations[0].table is not None
    second = operations[1].residual
    assert second is not None
    assert second.multiply
    assert second.place.storage == "silu"


def test_outputs_that_drop_different_numbers_of_bits_are_parts_of_their_own():
    g = GraphBuilder("shifts")
    x = g.input("x", (1, 16), fraction_bits=8, bits=16)
    scale = 2.0 ** -np.array([3, 3, 5, 5, 5, 3])
    g.output(g.matmul(x, np.ones((16, 6), np.int16), weight_scale=scale, fraction_bits=8))
    operations = lower(g.build(), WIDE).operations
    assert [(op.outputs, op.sink.offset) for op in operations] == [(2, 0), (3, 2), (1, 5)]
    assert [1 - op.shift[0] for op in operations] == [3, 5, 3]


def test_int16_averages_are_refused():
    g = GraphBuilder("mean")
    x = g.input("x", (1, 4, 4, 2), fraction_bits=8, bits=16)
    g.output(g.average_pool(x, (2, 2), name="mean"))
    with pytest.raises(UserError, match="task 'mean': no hardware for average pooling of int16"):
        lower(g.build(), WIDE)


def test_int8_products_of_elements_are_refused():
    g = GraphBuilder("squares")
    x = g.input("x", (1, 8), scale=0.1, bits=8)
    y = g.input("y", (1, 8), scale=0.1, bits=8)
    g.output(g.multiply(x, y, name="squares", scale=0.1))
    with pytest.raises(UserError, match="task 'squares': no hardware for 'multiply' of int8"):
        lower(g.build(), NARROW)


def test_transposed_convolutions_with_strides_are_refused():
    g = GraphBuilder("up")
    x = g.input("x", (1, 4, 4, 2), fraction_bits=8, bits=16)
    weights = np.ones((1, 2, 2, 2), np.int16)
    y = g.conv_transpose(x, weights, name="up", stride=2, weight_fraction_bits=4, fraction_bits=8)
    g.output(y)
    message = r"task 'up': no hardware for a transposed convolution of stride \(2, 2\)"
    with pytest.raises(UserError, match=message):
        lower(g.build(), WIDE)


def test_tensors_of_both_types_are_refused():
    g = GraphBuilder("mixed")
    x = g.input("x", (1, 8), fraction_bits=8, bits=16)
    y = g.input("y", (1, 8), scale=0.1, bits=8)
    g.output(g.add(x, x, fraction_bits=8))
    g.output(g.add(y, y, scale=0.1))
    with pytest.raises(UserError, match=r"'x' is int16 but 'y' is int8; .* must have one type"):
        _ = g.build().element_bytes
