import numpy as np
import pytest

from gen.compile import compile_graph
from gen.errors import UserError
from gen.target import Target
from intarsia.graph import GraphBuilder


def test_a_graph_of_int16_is_refused_by_the_name_of_its_task():
    g = GraphBuilder("wide")
    x = g.input("x", (1, 4), bits=16, fraction_bits=8)
    weights = np.ones((4, 4), np.int16)
    g.output(g.matmul(x, weights, weight_fraction_bits=0, fraction_bits=8))
    message = "is int16, for which there is no accelerator yet"
    with pytest.raises(UserError, match=message):
        compile_graph(g.build(), Target())
