import numpy as np
import pytest

from gen.unrolled.search import search
from gen.unrolled.stages import Delay, stages
from rtl.unrolled.product import ConstantProduct
from tests.unrolled.matrices import sparse
from tests.unrolled.streamed import run_streamed


@pytest.mark.parametrize("rows", [1, None])
def test_streamed(rows, tmp_path):
    seed = 3
    matrix, inputs = sparse(8, 5, -128, 127, 0.3, seed), [(-128, 127)] * 8
    graph = search(matrix, inputs, operands=2, rounds=100)
    chosen = stages(graph, rows, Delay(1, 0)) if rows else None
    product = ConstantProduct(graph, stages=chosen, registered=rows is not None)
    x = np.random.default_rng(seed).integers(-128, 128, (400, 8))
    run_streamed(product, x, x @ matrix, seed=seed, folder=tmp_path)
