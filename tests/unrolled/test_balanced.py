import numpy as np
import pytest

from gen.unrolled.balanced import balanced
from gen.unrolled.search import search
from rtl.unrolled.graph import AdderGraph, Operand, Row
from tests.unrolled.matrices import sparse, vectors

BYTE = (-128, 127)


@pytest.mark.parametrize("modulus_bits", [None, 8])
@pytest.mark.parametrize("operands", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_balancing_changes_no_value_adds_no_row_and_makes_none_later(seed, operands, modulus_bits):
    low, high = (-128, 127) if modulus_bits is None else (0, 255)
    matrix = sparse(24, 12, low, high, 0.2 * seed, seed)
    inputs = [(low, high)] * 24
    graph = search(
        matrix, inputs, operands=operands, modulus_bits=modulus_bits, rounds=200, seed=seed
    )
    made = balanced(graph)
    x = vectors(inputs, 50, seed)
    assert (made.values(x) == graph.values(x)).all()
    assert len(made.rows) <= len(graph.rows)
    assert all(len(row.operands) <= operands for row in made.rows)
    for now, before in zip(made.outputs, graph.outputs, strict=True):
        assert (now is None) == (before is None)
        if now is not None and before is not None:
            assert made.depths[now.value] <= graph.depths[before.value]


@pytest.mark.parametrize(("operands", "wanted"), [(2, 4), (3, 3)])
def test_a_chain_becomes_a_tree(operands, wanted):
    rows, last, k = [], 0, 1
    while k < 16:
        more = range(k, min(16, k + operands - 1))
        rows.append(Row((Operand(last), *(Operand(i, i % 3, i % 2 == 1) for i in more))))
        last, k = 15 + len(rows), k + len(more)
    graph = AdderGraph((BYTE,) * 16, tuple(rows), (Operand(last),))
    made = balanced(graph)
    assert max(made.depths) == wanted
    assert len(made.rows) == len(rows)
    x = np.random.default_rng(1).integers(-128, 127, (100, 16), endpoint=True)
    assert (made.values(x) == graph.values(x)).all()


def test_rows_with_guests_are_refused():
    row = Row((Operand(0), Operand(1)), guests=(Operand(1, 6),))
    graph = AdderGraph((BYTE,) * 2, (row,), (Operand(2),), 8)
    with pytest.raises(ValueError, match=r"^rows that have guests cannot be balanced$"):
        balanced(graph)
