"""Arrays of int16 graphs are accepted and returned in their type, or as real numbers."""

import numpy as np
import pytest

from gen.errors import UserError
from intarsia.arrays import from_file, to_file
from intarsia.graph import GraphBuilder


@pytest.fixture
def graph():
    g = GraphBuilder("g")
    g.output(g.matmul(g.input("x", (1, 4), fraction_bits=12), np.eye(4), name="y"))
    return g.build()


def test_int16_passes_through(graph):
    x = np.array([[-32768, -1, 0, 32767]], np.int16)
    batch = from_file(graph, x)
    np.testing.assert_array_equal(batch.runs[0]["x"], x)
    y = to_file(graph, batch, [{"y": x}])
    assert isinstance(y, np.ndarray)
    assert y.dtype == np.int16
    np.testing.assert_array_equal(y, x)


def test_real_numbers_become_int16_and_back(graph):
    batch = from_file(graph, np.array([[-100.0, 0.25, 1.0, 100.0]]))
    x = batch.runs[0]["x"]
    assert x.tolist() == [[-32768, 1024, 4096, 32767]]
    y = to_file(graph, batch, [{"y": x}])
    np.testing.assert_allclose(y, x / 4096, rtol=1e-6)


def test_int8_is_refused_where_int16_is_wanted(graph):
    with pytest.raises(UserError, match="input 'x' must be int16, or float"):
        from_file(graph, np.zeros((1, 4), np.int8))
