"""Quantising float ONNX models with calibration data."""

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gen.errors import UserError
from gen.frontends.onnx import load
from gen.quantise_onnx import quantise
from sim import golden

from ..onnx_models import DATA, held, kinds, session

EXAMPLE = DATA.parents[1] / "examples" / "digits" / "digits_float.onnx"


@pytest.fixture
def images() -> np.ndarray:
    with np.load(DATA / "digits_test.npz") as file:
        return file["images"]


def build(nodes, shape, constants, opset=17, batch=None):
    """A float model from ``x`` to ``y``."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    if batch:
        x.type.tensor_type.shape.dim[0].dim_param = batch
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    arrays = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], arrays)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def image_model(opset=17, batch=None):
    """Conv, BatchNormalization, HardSwish or Sigmoid, mean, Gemm."""
    rng = np.random.default_rng(3)
    constants = {
        "w": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "gain": rng.uniform(-2, 2, 8).astype(np.float32),
        "shift": rng.normal(0, 1, 8).astype(np.float32),
        "mean": rng.normal(0, 1, 8).astype(np.float32),
        "variance": rng.uniform(0.5, 2, 8).astype(np.float32),
        "head": rng.normal(0, 1, (8, 5)).astype(np.float32),
        "bias": rng.normal(0, 1, 5).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv"),
        helper.make_node("BatchNormalization", ["a", *list(constants)[1:5]], ["b"], "norm"),
        helper.make_node("HardSwish" if opset > 13 else "Sigmoid", ["b"], ["c"], "swish"),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], "mean"),
        helper.make_node("Flatten", ["d"], ["e"], "flat"),
        helper.make_node("Gemm", ["e", "head", "bias"], ["y"], "head"),
    ]
    return build(nodes, (1, 3, 8, 8), constants, opset, batch)


def saved(model, folder):
    onnx.save_model(model, folder / "float.onnx")
    return folder / "float.onnx"


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("fmt", ["qdq", "qoperator"])
def test_quantised_digits_keep_their_accuracy_and_load(fmt, per_channel, images, tmp_path):
    out = tmp_path / "int8.onnx"
    quantise(EXAMPLE, {"image": images}, out, per_channel=per_channel, fmt=fmt)
    graph = load(out)
    with np.load(DATA / "digits_test.npz") as file:
        labels = file["labels"]
    right = 0
    for image, label in zip(images[:100], labels[:100], strict=True):
        x = held(graph.tensors["image"], image[None])
        right += golden.run(graph, {"image": x})["probabilities"].argmax() == label
    assert right >= 98
    weights = [n for n in onnx.load(out).graph.initializer if n.data_type == TensorProto.INT8]
    assert sum(numpy_helper.to_array(w).size > 100 for w in weights) == 4


@pytest.mark.parametrize("opset", [11, 17])
def test_all_operators_are_quantised_and_batch_norm_is_folded(opset, tmp_path):
    data = np.random.default_rng(1).normal(0, 1, (20, 3, 8, 8)).astype(np.float32)
    out = tmp_path / "int8.onnx"
    source = saved(image_model(opset, batch="N"), tmp_path)
    quantise(source, {"x": data}, out)
    graph = load(out)
    assert kinds(graph) == ["conv", "lookup", "conv", "reshape", "matmul"]
    want = session(onnx.load(source)).run(None, {"x": data[:1]})[0]
    y = graph.tensors["y"]
    got = golden.run(graph, {"x": held(graph.tensors["x"], data[:1])})["y"].astype(int)
    assert np.abs((got - y.zero_point) * y.scale - want).max() < 0.15


def test_calibration_may_come_from_a_file_or_have_one_axis_more(tmp_path):
    data = np.random.default_rng(1).normal(0, 1, (20, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=data)
    source = saved(image_model(), tmp_path)
    made = []
    for i, calibration in enumerate([{"x": data}, tmp_path / "data.npz", {"x": data[:, None]}]):
        quantise(source, calibration, tmp_path / f"{i}.onnx")
        made.append((tmp_path / f"{i}.onnx").read_bytes())
    assert made[0] == made[1] == made[2]


def test_failure_leaves_the_earlier_file_and_no_other(tmp_path):
    out = tmp_path / "int8.onnx"
    out.write_bytes(b"earlier")
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    wrong = build(nodes, (1, 3, 8, 8), {"w": np.ones((2, 5, 3, 3), np.float32)})
    source = saved(wrong, tmp_path)
    with pytest.raises(UserError, match="ONNX Runtime cannot quantise"):
        quantise(source, {"x": np.ones((2, 3, 8, 8))}, out)
    assert out.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float.onnx", "int8.onnx"]


GOOD = np.ones((4, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({}, "no array for input 'x'; they have: none"),
        ({"z": GOOD}, "no array for input 'x'; they have: z"),
        ({"x": GOOD[:, :, :7]}, r"has shape \(4, 3, 7, 8\), but .* \(samples, 3, 8, 8\)"),
        ({"x": np.float32(1)}, r"has shape \(\), but"),
        ({"x": GOOD[:0]}, "has no samples"),
        ({"x": np.full((4, 3, 8, 8), "a")}, "of type <U1, not numbers"),
        ({"x": GOOD * np.nan}, "holds NaN or infinite values"),
        ("absent.npz", "cannot read calibration file '.*absent.npz': No such file"),
        ("text.npz", "is not an .npz file of numbers"),
        ("pickled.npz", "is not an .npz file of numbers"),
        ("single.npy", "is one array"),
    ],
)
def test_calibration_data_that_do_not_suit_are_refused(calibration, message, tmp_path):
    (tmp_path / "text.npz").write_text("not a zip file")
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], object))
    np.save(tmp_path / "single.npy", GOOD)
    if isinstance(calibration, str):
        calibration = tmp_path / calibration
    source = saved(image_model(), tmp_path)
    with pytest.raises(UserError, match=message):
        quantise(source, calibration, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_unequal_numbers_of_samples_are_refused(tmp_path):
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4)) for n in "abc"]
    nodes = [helper.make_node("Add", ["a", "b"], ["c"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", infos[:2], infos[2:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    data = {"a": np.ones((3, 4)), "b": np.ones((2, 4))}
    with pytest.raises(UserError, match="equally many samples"):
        quantise(saved(model, tmp_path), data, tmp_path / "out.onnx")


def test_arguments_that_cannot_be_served_are_refused(tmp_path, monkeypatch):
    source = saved(image_model(), tmp_path)
    out = tmp_path / "out.onnx"
    with pytest.raises(UserError, match="format must be one of qdq, qoperator, not 'tflite'"):
        quantise(source, {"x": GOOD}, out, fmt="tflite")
    with pytest.raises(UserError, match="cannot read"):
        quantise(tmp_path / "absent.onnx", {"x": GOOD}, out)
    with pytest.raises(UserError, match="is quantised already"):
        quantise(DATA / "digits_int8.onnx", {"x": GOOD}, out)
    with pytest.raises(UserError, match=r"cannot write '.*nowhere.*': No such file"):
        quantise(source, {"x": GOOD}, tmp_path / "nowhere" / "out.onnx")
    model = image_model()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    with pytest.raises(UserError, match="input 'x' has a dynamic dimension"):
        quantise(saved(model, tmp_path), {"x": GOOD}, out)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'intarsia\[quantize\]'"):
        quantise(source, {"x": GOOD}, out)
