"""Tables of real functions are as close as stated, at all 65,536 inputs."""

import math

import numpy as np
import pytest

from gen import fixed_point
from gen.graph import Graph, Interpolate, Tensor
from sim import golden

ALL_INT16 = np.arange(-32768, 32768).astype(np.int16)

CURVATURE = {"sigmoid": 0.0963, "silu": 0.5, "tanh": 0.770, "gelu": 0.798}
"""As the docstring of FUNCTIONS states."""


def interpolated(name: str, bits_in: int, bits_out: int) -> tuple[np.ndarray, np.ndarray]:
    """All inputs and results of a table, as real numbers."""
    table = fixed_point.interpolation_table(
        fixed_point.FUNCTIONS[name], 2.0**-bits_in, 2.0**-bits_out
    )
    assert (table.dtype, table.shape) == (np.int16, (257,))
    tensors = {
        "x": Tensor("x", (65536,), 2.0**-bits_in, 0, bits=16),
        "y": Tensor("y", (65536,), 2.0**-bits_out, 0, bits=16),
    }
    graph = Graph("g", tensors, (Interpolate("i", ("x",), "y", name, table),), ("x",), ("y",))
    graph.check()
    y = golden.run(graph, {"x": ALL_INT16})["y"]
    return ALL_INT16 * 2.0**-bits_in, y * 2.0**-bits_out


def exact(name: str, x: np.ndarray) -> np.ndarray:
    return np.array([fixed_point.FUNCTIONS[name](float(value)) for value in x])


@pytest.mark.parametrize("name", CURVATURE)
@pytest.mark.parametrize(("bits_in", "bits_out"), [(12, 12), (11, 11), (13, 14), (12, 9)])
def test_tables_are_as_close_as_stated(name, bits_in, bits_out):
    x, y = interpolated(name, bits_in, bits_out)
    bound = 2.0**-bits_out + (256 * 2.0**-bits_in) ** 2 / 8 * CURVATURE[name]
    real = exact(name, x)
    limit = 32767 * 2.0**-bits_out
    inside = (np.abs(np.r_[real[256:], real[-256:]]) < limit) & (np.abs(real) < limit)
    assert np.abs(y - real)[inside].max() <= bound


def test_the_exponential_is_as_close_as_stated():
    x, y = interpolated("exp_half", 13, 12)
    step = 256 * 2.0**-13
    bound = 2.0**-12 + step**2 / 8 * exact("exp_half", x + step) / 4
    error = np.abs(y - exact("exp_half", x))
    assert (error <= bound).all()


@pytest.mark.parametrize(("name", "curvature"), [*CURVATURE.items(), ("exp_half", math.exp(2) / 4)])
def test_second_derivatives_are_as_stated(name, curvature):
    x = np.linspace(-8, 4, 12001)
    y = exact(name, x)
    second = np.abs(np.diff(y, 2)) / (x[1] - x[0]) ** 2
    assert 0.99 * curvature < second.max() <= curvature * 1.001


def test_tables_saturate():
    table = fixed_point.interpolation_table(lambda x: math.inf if x > 0 else x, 1.0, 0.5)
    assert table[0] == -32768
    assert table[256] == 32767


@pytest.mark.parametrize(
    ("bound", "fraction"),
    [(1.0, 14), (0.9999, 15), (0.99999, 14), (32767.0, 0), (32768.0, -1), (0.001, 24), (0.0, 15)],
)
def test_fractions_are_the_largest_that_hold(bound, fraction):
    assert fixed_point.largest_fraction(bound) == fraction
    if bound:
        assert np.rint(np.ldexp(bound, fraction)) <= 32767 < np.rint(np.ldexp(bound, fraction + 1))


def test_fraction_bits_of_a_scale():
    assert fixed_point.fraction_bits(2.0**-12) == 12
    assert fixed_point.fraction_bits(4.0) == -2
    with pytest.raises(ValueError, match="no power of two"):
        fixed_point.fraction_bits(0.3)


def test_quantising_rounds_and_saturates():
    q = fixed_point.quantise(np.array([0.5, 1.5, -1.5, 1e9, -1e9]), 0)
    assert q.tolist() == [0, 2, -2, 32767, -32768]
    assert q.dtype == np.int16
