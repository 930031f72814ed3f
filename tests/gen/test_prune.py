"""Pruning: how many weights become zero, which, and where zero lies."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gen.errors import UserError
from gen.prune import prune


def _model(folder, weights: np.ndarray, *middle):
    """``x @ w`` with ``w`` behind the nodes ``middle``."""
    nodes = [*middle, helper.make_node("MatMul", ["x", "w" if middle else "held"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, len(weights)))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [
        numpy_helper.from_array(weights, "held"),
        numpy_helper.from_array(np.float32(0.1), "scale"),
        numpy_helper.from_array(np.int8(5), "zero"),
    ]
    path = folder / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", [x], [y], held)), path)
    return path


def _held(path) -> np.ndarray:
    return numpy_helper.to_array(onnx.load(path).graph.initializer[0])


@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.8, 1.0])
def test_exactly_the_smallest_become_zero(sparsity, tmp_path):
    weights = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)
    out = tmp_path / "out.onnx"
    shares = prune(_model(tmp_path, weights), out, sparsity)
    pruned = _held(out)
    count = round(sparsity * 600)
    assert np.count_nonzero(pruned == 0) == count
    assert shares == {"held": count / 600}
    assert np.array_equal(pruned[pruned != 0], weights[pruned != 0])
    gone = np.abs(weights[pruned == 0]).max(initial=0)
    assert gone <= np.abs(weights[pruned != 0]).min(initial=np.inf)


def test_integers_are_pruned_to_their_zero_point(tmp_path):
    weights = np.arange(-10, 10, dtype=np.int8).reshape(4, 5)
    node = helper.make_node("DequantizeLinear", ["held", "scale", "zero"], ["w"])
    out = tmp_path / "out.onnx"
    prune(_model(tmp_path, weights, node), out, 0.25)
    assert np.count_nonzero(_held(out) == 5) == 5
    assert _held(out).ravel()[13:18].tolist() == [5, 5, 5, 5, 5]


def test_a_model_without_weights_and_shares_out_of_range_are_told(tmp_path):
    path = tmp_path / "model.onnx"
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 2)) for n in "xy"]
    node = helper.make_node("Relu", ["x"], ["y"])
    onnx.save(helper.make_model(helper.make_graph([node], "net", infos[:1], infos[1:])), path)
    with pytest.raises(UserError, match="has no constant weights to prune"):
        prune(path, tmp_path / "out.onnx", 0.5)
    with pytest.raises(UserError, match=r"--sparsity must be from 0 to 1, not 1\.5"):
        prune(path, tmp_path / "out.onnx", 1.5)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
