import numpy as np
import pytest

from gen.errors import UserError
from gen.unrolled.generators import alkaid, da4ml, live
from gen.unrolled.hosted import hosted
from gen.unrolled.search import search
from rtl.unrolled.graph import AdderGraph, Operand, Row
from tests.unrolled.matrices import sparse, vectors

BYTE = (-128, 127)


def product(graph, matrix, inputs, modulus_bits=None):
    """Compares a graph with its matrix, by its coefficients and by numbers."""
    x = vectors(inputs, 50, 1)
    y = x @ matrix
    if modulus_bits is not None:
        y &= (1 << modulus_bits) - 1
    assert (graph.values(x) == y).all()
    for k, o in enumerate(graph.outputs):
        column = graph.coefficients[o.value] << o.shift if o else np.zeros(len(inputs), np.int64)
        difference = column - matrix[:, k]
        if modulus_bits is not None:
            difference &= (1 << modulus_bits) - 1
        assert not difference.any()


@pytest.mark.parametrize("operands", [2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_the_graph_is_the_matrix(seed, operands):
    rng = np.random.default_rng(seed)
    n, m, bits = rng.integers(1, 20), rng.integers(1, 20), rng.integers(1, 17)
    signed = bool(rng.integers(2)) and bits > 1
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    matrix = sparse(n, m, low, high, rng.random(), seed)
    # Activations of mixed widths, signed and not.
    widths = rng.integers(1, 17, n)
    inputs = [(-(1 << (w - 1)), (1 << (w - 1)) - 1) if w % 2 else (0, (1 << w) - 1) for w in widths]
    graph = search(matrix, inputs, operands=operands, rounds=300, seed=seed)
    assert all(len(row.operands) <= operands for row in graph.rows)
    product(graph, matrix, inputs)


@pytest.mark.parametrize("operands", [2, 3])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_the_graph_is_the_matrix_modulo(bits, operands):
    matrix = sparse(12, 12, 0, (1 << bits) - 1, 0.3, bits)
    inputs = [(0, (1 << bits) - 1)] * 12
    graph = search(matrix, inputs, operands=operands, modulus_bits=bits, rounds=300)
    product(graph, matrix, inputs, bits)


@pytest.mark.parametrize("bits", [3, 5, 8])
@pytest.mark.parametrize("seed", range(3))
def test_rows_take_in_what_changes_their_last_bits(bits, seed):
    matrix = sparse(12, 12, 0, (1 << bits) - 1, 0.4, seed)
    inputs = [(0, (1 << bits) - 1)] * 12
    alone = search(matrix, inputs, operands=2, modulus_bits=bits, rounds=300)
    found = search(matrix, inputs, operands=2, modulus_bits=bits, rounds=300, hosting=True)
    for graph in (hosted(alone), found):
        product(graph, matrix, inputs, bits)
        assert any(row.guests for row in graph.rows)
        assert all(graph.has_room(k) for k in range(len(graph.rows)))
        assert graph.area < alone.area


def test_whole_sums_have_no_guests():
    matrix, inputs = sparse(8, 8, -128, 127, 0.4, 1), [BYTE] * 8
    graph = search(matrix, inputs, operands=2, rounds=100, hosting=True)
    assert not any(row.guests for row in graph.rows)


def test_rows_of_two_are_not_both_negated():
    matrix, inputs = -sparse(8, 8, 0, 127, 0.4, 1), [(0, 255)] * 8
    graph = search(matrix, inputs, operands=2, rounds=100)
    assert all(sum(o.negated for o in row.operands) < 2 for row in graph.rows)
    product(graph, matrix, inputs)


def test_improvement_improves_and_repeats():
    matrix, inputs = sparse(24, 24, -128, 127, 0.5, 1), [BYTE] * 24
    first, better, again = (search(matrix, inputs, rounds=r) for r in (0, 3000, 3000))
    assert better == again
    assert better.area < 0.97 * first.area


def test_constants_and_copies_need_no_rows():
    matrix = np.array([[0, 4, 0], [0, 0, 1]])
    graph = search(matrix, [BYTE] * 2)
    assert graph.rows == ()
    assert graph.outputs == (None, Operand(0, 2), Operand(1))
    assert search(np.zeros((3, 2)), [BYTE] * 3).outputs == (None, None)


def test_a_negated_copy_is_one_row():
    graph = search(np.array([[-2, -2, -1]]), [BYTE])
    assert graph.rows == (Row((Operand(0, 0, True),)),)


def test_equal_outputs_share():
    column = sparse(16, 1, -128, 127, 0, 3)
    one = search(column, [BYTE] * 16, rounds=100)
    three = search(np.hstack([column, column * 4, column]), [BYTE] * 16, rounds=100)
    assert three.area <= one.area


@pytest.mark.parametrize("generate", [alkaid, da4ml])
@pytest.mark.parametrize("operands", [2, 3])
@pytest.mark.parametrize("modulus_bits", [None, 8])
def test_other_generators(generate, operands, modulus_bits):
    low, high = (-128, 127) if modulus_bits is None else (0, 255)
    matrix, inputs = sparse(16, 16, low, high, 0.5, 2), [(low, high)] * 16
    graph = generate(matrix, inputs, operands=operands, modulus_bits=modulus_bits)
    product(graph, matrix, inputs, modulus_bits)
    if operands == 3:
        assert any(len(row.operands) == 3 for row in graph.rows)


@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9])
def test_smaller_than_the_others_in_less_time_than_they_take(sparsity):
    matrix, inputs = sparse(32, 32, -128, 127, sparsity, 4), [BYTE] * 32
    best = min(f(matrix, inputs).area for f in (alkaid, da4ml))
    assert search(matrix, inputs, rounds=1000).area < 0.95 * best


def test_dense_signs_are_written_by_their_differences():
    signs = np.random.default_rng(1).choice([-1, 1], (32, 32))
    inputs = [(0, 1)] * 32
    assert search(signs, inputs, rounds=0).area < 0.95 * da4ml(signs, inputs).area


def test_rows_that_nothing_needs_go():
    rows = (Row((Operand(0), Operand(1))), Row((Operand(0), Operand(1, 1))))
    graph = live(AdderGraph((BYTE, BYTE), rows, (Operand(3, 1),)))
    assert graph == AdderGraph((BYTE, BYTE), rows[1:], (Operand(2, 1),))


@pytest.mark.parametrize(
    ("matrix", "inputs", "message"),
    [
        (np.array([[0.5]]), [BYTE], "weights must be integers: scale and round them first"),
        (np.array([[np.nan]]), [BYTE], "weights must be integers: scale and round them first"),
        (np.array([[1 << 16]]), [BYTE], "weights must be of at most 16 bits"),
        (
            np.zeros(3),
            [BYTE],
            r"weights must be a matrix \(inputs, outputs\), not of shape \(3,\)",
        ),
        (np.zeros((1, 1)), [], "there must be 1 intervals of inputs, not 0"),
        (
            np.zeros((1, 1)),
            [(0, 1 << 16)],
            "inputs must be of 1 to 16 bits, not 0 to 65536",
        ),
    ],
)
def test_refusals(matrix, inputs, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        search(matrix, inputs)
