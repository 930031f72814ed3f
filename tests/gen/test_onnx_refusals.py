"""ONNX models that cannot be served get one line that names the node and the way out."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import gen.frontends.onnx as frontend
from gen.errors import UserError

from ..onnx_models import DATA, Net, kinds, load


def refused(model: onnx.ModelProto, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load(model, folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def simple(op: str, *inputs: Any, **attributes: Any) -> tuple[Net, onnx.ModelProto]:
    """A quantised image through one operator, with the given constants as further inputs."""
    net = Net()
    outputs = attributes.pop("outputs", 1)
    constants = [net.constant(v, np.float32 if isinstance(v, float) else None) for v in inputs]
    y = net.node(op, [net.real((1, 4, 6, 6)), *constants], outputs, **attributes)
    q = net.quantise(y if outputs == 1 else y[0], 0.1, 0)
    return net, net.integer_model([q])


FLAT = np.zeros(3, np.float32)
REFUSED_NODES = {
    "unknown operator": (("Resize", FLAT, FLAT), {}, "operator is not supported; replace it"),
    "transposed convolution": (("ConvTranspose", FLAT), {}, "operator is not supported"),
    "foreign domain": (("Conv", FLAT), {"domain": "org.else"}, "domain 'org.else'"),
    "float weights": (("Conv", np.zeros((4, 4, 3, 3), np.float32)), {}, "weights .* not quantised"),
    "attribute of a wrong type": (
        ("MaxPool",),
        {"kernel_shape": 2},
        "'kernel_shape' has the wrong",
    ),
    "kernel of a wrong rank": (("MaxPool",), {"kernel_shape": [2]}, "must suit 2 dimensions"),
    "kernel beyond the image": (("MaxPool",), {"kernel_shape": [9, 2]}, "its kernel spans 9"),
    "stride of zero": (
        ("MaxPool",),
        {"kernel_shape": [2, 2], "strides": [0, 1]},
        "must be positive",
    ),
    "unknown auto_pad": (("MaxPool",), {"kernel_shape": [2, 2], "auto_pad": "X"}, "auto_pad 'X'"),
    "dilated pool": (
        ("MaxPool",),
        {"kernel_shape": [2, 2], "dilations": [2, 2]},
        "dilated pooling",
    ),
    "indices of a pool": (("MaxPool",), {"kernel_shape": [2, 2], "outputs": 2}, "second output"),
    "reshape to another size": (("Reshape", np.array([1, 5])), {}, "cannot reshape"),
    "axis out of range": (("Softmax",), {"axis": 7}, "axis 7 does not exist"),
    "reflected padding": (("Pad", np.ones(8, np.int64)), {"mode": "reflect"}, "'reflect'"),
    "negative padding": (("Pad", -np.ones(8, np.int64)), {}, "none negative"),
    "wrong permutation": (("Transpose",), {"perm": [0, 1, 1, 2]}, "does not permute"),
    "empty slice": (("Slice", np.array([3]), np.array([3])), {}, "empty tensor"),
    "reversed slice": (
        ("Slice", np.array([5]), np.array([0]), np.array([2]), np.array([-1])),
        {},
        "steps must be positive",
    ),
    "mean over separate axes": (("ReduceMean", np.array([1, 3])), {}, "separate axes"),
    "constant of a whole image": (("Add", np.ones((4, 6, 6), np.float32)), {}, "one per channel"),
    "constant that broadcasts": (("Add", np.ones((9, 1, 1, 1), np.float32)), {}, "malformed|fit"),
    "division by zero": (("Div", np.zeros((4, 1, 1), np.float32)), {}, "divides by zero"),
    "constant that is not finite": (("Mul", float("inf")), {}, "not finite"),
    "bounds in the wrong order": (("Clip", 1.0, -1.0), {}, "not below its max"),
    "gemm of an image": (("Gemm", FLAT), {}, "not quantised"),
    "sum of three": (("Max", FLAT, FLAT), {}, "has 3 inputs"),
}


@pytest.mark.parametrize("case", REFUSED_NODES)
def test_node_that_cannot_be_served_is_named(case, tmp_path):
    (op, *constants), attributes, message = REFUSED_NODES[case]
    _, model = simple(op, *constants, **attributes)
    text = refused(model, tmp_path)
    assert text.startswith(f"node '{op}_")
    assert re.search(message, text), text


def test_product_of_two_activations_is_refused(tmp_path):
    for op, shape in (("MatMul", (6, 6)), ("Mul", (6, 6))):
        net = Net()
        q = net.quantise(net.node(op, [net.real(shape), net.real(shape)]), 0.1, 0)
        assert "two activations" in refused(net.integer_model([q]), tmp_path)


@pytest.mark.parametrize("op", ["Sigmoid", "Add", "Conv", "Softmax"])
def test_operator_on_a_value_that_is_not_quantised_is_refused(op, tmp_path):
    net = Net()
    x = net.real((1, 3, 6, 6))
    y = net.node("Conv", [x, net.weights((3, 3, 1, 1))])
    more = {"Add": [x], "Conv": [net.weights((3, 3, 1, 1))]}.get(op, [])
    q = net.quantise(net.node(op, [y, *more]), 0.1, 0)
    text = refused(net.integer_model([q]), tmp_path)
    assert "is not quantised; quantise the model again" in text


def test_output_that_is_not_quantised_is_refused(tmp_path):
    net = Net()
    y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((3, 3, 1, 1))])
    text = refused(net.model([y], TensorProto.FLOAT), tmp_path)
    assert text.startswith(f"output '{y}' is not quantised after node")


def test_float_model_is_told_to_be_quantised(tmp_path):
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4)) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", info[:1], info[1:])
    text = refused(helper.make_model(graph), tmp_path)
    assert "float model without quantisation" in text
    assert "`intarsia quantize" in text


def test_dynamic_quantisation_is_refused(tmp_path):
    net = Net("uint8")
    x = net.real((1, 4))
    net.node("DynamicQuantizeLinear", [x], 3)
    q = net.quantise(x, 0.1, 0)
    assert "quantised dynamically" in refused(net.integer_model([q]), tmp_path)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("where", ["activation", "weights", "output"])
def test_scale_that_is_not_positive_is_refused(where, scale, tmp_path):
    net = Net()
    x = net.integers((1, 3, 6, 6))
    w = net.quantised_weights((4, 3, 3, 3))
    y = net.node("Conv", [net.node("DequantizeLinear", x), net.node("DequantizeLinear", w)])
    q = net.quantise(y, 0.1, 0)
    at = {"activation": 0, "weights": 3, "output": 5}[where]
    net.constants[at].CopyFrom(numpy_helper.from_array(np.float32(scale), net.constants[at].name))
    text = refused(net.integer_model([q]), tmp_path)
    assert "must be finite and greater than zero" in text


def test_missing_scale_is_refused(tmp_path):
    _, model = simple("Relu")
    del model.graph.initializer[0]
    assert "reads 'const_0_0', which no earlier node produces" in refused(model, tmp_path)
    model.graph.node[0].input[1] = ""
    assert "input 1 is missing" in refused(model, tmp_path)


def test_scale_per_channel_of_an_activation_is_refused(tmp_path):
    net = Net()
    q = net.quantise(net.real((1, 3, 6, 6)), [0.1] * 3, [0] * 3)
    assert "quantise activations per tensor" in refused(net.integer_model([q]), tmp_path)


def test_sixteen_bit_activations_are_refused(tmp_path):
    net = Net("int16", opset=21)
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4))
    net.inputs.append(info)
    q = net.node("QuantizeLinear", ["x", *net.parameters(0.1, 0)])
    text = refused(net.model([q], TensorProto.INT16), tmp_path)
    assert "activation of type int16 is not supported" in text
    info.type.tensor_type.elem_type = TensorProto.INT32
    assert "unsupported element type" in refused(net.model([q], TensorProto.INT16), tmp_path)


def test_dynamic_shape_is_refused_by_the_name_of_the_input(tmp_path):
    _, model = simple("Relu")
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_param = "height"
    text = refused(model, tmp_path)
    assert text.startswith("input 'x0' has a dynamic dimension (height, axis 2)")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert "no known shape" in refused(model, tmp_path)


def test_batch_of_more_than_one_is_refused(tmp_path):
    _, model = simple("MaxPool", kernel_shape=[2, 2])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    assert "its batch is 8; export the model with a batch of 1" in refused(model, tmp_path)


def test_input_quantised_in_two_ways_is_refused(tmp_path):
    net = Net()
    net.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4)))
    q = [net.quantise("x", 0.1, 0), net.quantise("x", 0.2, 0)]
    assert "quantised with different scales" in refused(net.integer_model(q), tmp_path)


def test_sums_beyond_32_bits_are_refused(tmp_path):
    net = Net()
    codes = net.constant(np.full((70000, 1), 127), np.int8)
    w = net.node("DequantizeLinear", [codes, *net.parameters(0.01, 0)])
    q = net.quantise(net.node("MatMul", [net.real((1, 70000)), w]), 0.1, 0)
    assert "can exceed 32 bits" in refused(net.integer_model([q]), tmp_path)


def test_weights_beyond_8_bits_are_refused(tmp_path):
    net = Net()
    codes = net.constant(np.full((4, 6), 300), np.int32)
    w = net.node("DequantizeLinear", [codes, net.constant(0.01, np.float32)])
    q = net.quantise(net.node("MatMul", [net.real((1, 4)), w]), 0.1, 0)
    assert "its weights exceed 8 bits" in refused(net.integer_model([q]), tmp_path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot read '.*absent.onnx'"):
        frontend.load(tmp_path / "absent.onnx")


def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path):
    whole = (DATA / "digits_int8.onnx").read_bytes()
    rng = np.random.default_rng(5)
    path = tmp_path / "damaged.onnx"
    messages = []
    for i in range(300):
        data = bytearray(whole)
        if i % 2:
            del data[int(rng.integers(len(data))) :]
        else:
            for place in rng.integers(0, len(data), 5):
                data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            frontend.load(path)
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > 150
    assert not any("\n" in message for message in messages)


def test_deeply_nested_file_is_refused(tmp_path):
    data = b""
    for _ in range(200):
        size = len(data)
        prefix = b"\x0a" + _varint(size) if size else b""
        data = b"\x32" + _varint(len(prefix + data)) + prefix + data
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x3a" + _varint(len(data)) + data)
    with pytest.raises(UserError):
        frontend.load(path)


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def external(net: Net, q: str, location: str) -> onnx.ModelProto:
    """The model with its last weights kept in another file."""
    model = net.integer_model([q])
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def test_external_data_is_read_from_beside_the_model_only(tmp_path):
    net = Net()
    y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((4, 3, 3, 3))])
    q = net.quantise(y)
    weights = next(t for t in net.constants if len(t.raw_data) == 108).raw_data
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "w.bin").write_bytes(weights)
    (tmp_path / "w.bin").write_bytes(weights)
    (folder / "short.bin").write_bytes(weights[:50])
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    assert kinds(load(external(net, q, "w.bin"), folder)) == ["conv"]
    for outside in ("../w.bin", str(tmp_path / "w.bin"), "C:\\w.bin", "", "link.bin"):
        assert "outside the model's folder" in refused(external(net, q, outside), folder)
    assert "cannot be read" in refused(external(net, q, "absent.bin"), folder)
    assert "does not hold the data" in refused(external(net, q, "short.bin"), folder)
    model = external(net, q, "w.bin")
    tensor = next(t for t in model.graph.initializer if t.external_data)
    tensor.external_data.add(key="length", value="1000")
    assert "reads past the end" in refused(model, folder)
