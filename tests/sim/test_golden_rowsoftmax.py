"""The golden softmax of int16 rows against float64, and what its task refuses."""

import numpy as np
import pytest

from gen.errors import UserError
from gen.graph import Graph, RowSoftmax, Tensor
from sim import golden
from sim.golden_rowsoftmax import ERROR

LOW, HIGH = -(1 << 15), (1 << 15) - 1


def graph(shape: tuple[int, ...], bits: int, **changes: float) -> Graph:
    scales = {"x": 2.0**-bits, "y": 2.0**-15} | changes
    tensors = {name: Tensor(name, shape, scale, 0, bits=16) for name, scale in scales.items()}
    return Graph("rows", tensors, (RowSoftmax("softmax", ("x",), "y", bits),), ("x",), ("y",))


def errors(rows: np.ndarray, bits: int) -> np.ndarray:
    """Of each element, against float64's softmax, in units of the last bit."""
    rows = np.asarray(rows)
    g = graph(rows.shape, bits)
    g.check()
    y = golden.run(g, {"x": rows.astype(np.int16)})["y"]
    assert y.dtype == np.int16
    power = np.exp((rows - rows.max(axis=-1, keepdims=True)) * 2.0**-bits)
    exact = power / power.sum(axis=-1, keepdims=True) * (1 << 15)
    return np.abs(y - np.minimum(exact, HIGH))


@pytest.mark.parametrize("bits", range(16))
@pytest.mark.parametrize("length", [2, 3, 10, 64, 256, 1000, 1024])
def test_random_rows_are_within_the_stated_error(length, bits):
    g = np.random.default_rng(length * 16 + bits)
    one = 1 << bits
    for spread in (0.01, 0.5, 1, 2, 4, 8):
        rows = np.clip(np.rint(g.normal(0, spread * one, (8, length))), LOW, HIGH).astype(int)
        assert errors(rows, bits).max() <= ERROR
    assert errors(g.integers(LOW, HIGH + 1, (8, length)), bits).max() <= ERROR
    assert errors(LOW + g.random((8, length)) ** 9 * (HIGH - LOW) // 1, bits).max() <= ERROR


@pytest.mark.parametrize("bits", range(16))
def test_rows_of_two_values_are_within_the_stated_error(bits):
    """Where errors are largest: those of equal elements add up."""
    most = min(HIGH - LOW, 24 << bits)
    below = np.unique(np.linspace(0, most, 1500).astype(int))
    for length, high in ((2, 1), (3, 1), (3, 2), (16, 1), (100, 99), (1024, 512), (2048, 1)):
        rows = np.repeat((HIGH - below)[:, np.newaxis], length, axis=1)
        rows[:, :high] = HIGH
        assert errors(rows, bits).max() <= ERROR


def test_extreme_rows():
    for bits in range(16):
        for length in (2, 16, 1024):
            rows = np.array([[LOW] * length, [HIGH] * length, [HIGH] + [LOW] * (length - 1)])
            assert errors(rows, bits).max() <= ERROR
    y = golden.run(graph((1, 3), 0), {"x": np.array([[HIGH, LOW, LOW]], np.int16)})["y"]
    assert y.tolist() == [[HIGH, 0, 0]]
    y = golden.run(graph((2, 1), 15), {"x": np.array([[5], [LOW]], np.int16)})["y"]
    assert y.tolist() == [[HIGH], [HIGH]]


def test_a_row_is_the_last_axis():
    x = np.random.default_rng(1).integers(LOW, HIGH + 1, (2, 3, 5)).astype(np.int16)
    whole = golden.run(graph(x.shape, 12), {"x": x})["y"]
    for at in np.ndindex(2, 3):
        assert (golden.run(graph((5,), 12), {"x": x[at]})["y"] == whole[at]).all()


@pytest.mark.parametrize(
    ("bits", "changes", "message"),
    [
        (16, {}, "its fraction_bits must be from 0 to 15, not 16"),
        (-1, {}, "its fraction_bits must be from 0 to 15, not -1"),
        (12, {"x": 0.5}, r"'x' has scale 0.5, not 2\*\*-12"),
        (12, {"y": 0.5}, r"'y' has scale 0.5, not 2\*\*-15"),
    ],
)
def test_refusals(bits, changes, message):
    with pytest.raises(UserError, match=message):
        graph((1, 4), bits, **changes).check()
