"""TensorFlow Lite files: names and structure of the graph, and a line of help for each bad file."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tflite

from gen.errors import UserError
from gen.frontends import load, tflite_file
from gen.graph import Conv, Graph, MatMul
from tests.models import model_path
from tests.tflite_models import ModelBuilder

Load = Callable[..., Graph]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Load the model of a builder as a file named ``model.tflite``."""

    def build(b: ModelBuilder, inputs: list[int], outputs: list[int]) -> Graph:
        path = tmp_path / "model.tflite"
        path.write_bytes(b.finish(inputs, outputs))
        return load(path)

    return build


def _conv(b: ModelBuilder, x: int, w: int, y: int, *bias: int, **fields: int) -> None:
    fields = {"Padding": 0, "StrideH": 1, "StrideW": 1, **fields}
    fields = {"DilationHFactor": 1, "DilationWFactor": 1, **fields}
    b.op("CONV_2D", [x, w, *bias], [y], "Conv2DOptions", **fields)


def _relu_chain(b: ModelBuilder, *names: str) -> list[int]:
    tensors = [
        b.tensor((1, 4), scale=0.1, zero_point=0, name=name, signature=(-1, 4)) for name in names
    ]
    for x, y in pairwise(tensors):
        b.op("RELU", [x], [y])
    return tensors


# Structure


def test_resnet8_keeps_its_macs_weights_and_names():
    graph = load(model_path("mlperf_tiny/resnet8/resnet8_int8.tflite"))
    assert graph.name == "resnet8_int8"
    assert graph.macs() == 12_501_632
    weighted = [task for task in graph.tasks if isinstance(task, Conv | MatMul)]
    # the published 77,708 also count the two numbers of a reshape
    assert sum(task.weights.size + task.bias.size for task in weighted) == 77_706
    names = [task.name for task in graph.tasks]
    assert names[:4] == ["conv2d", "conv2d_1", "conv2d_2", "add"]
    assert names[-4:] == ["average_pool2d", "reshape", "fully_connected", "softmax"]
    assert (graph.inputs, graph.outputs) == (("input_1_int8",), ("Identity_int8",))


def test_the_autoencoder_is_ten_products():
    graph = load(model_path("mlperf_tiny/ad/ad01_int8.tflite"))
    assert graph.macs() == 264_192
    assert [task.kind for task in graph.tasks] == ["matmul"] * 10


def test_loading_twice_gives_equal_graphs():
    path = model_path("mlperf_tiny/resnet8/resnet8_int8.tflite")
    assert load(path) == load(path)


def test_tensor_names_end_at_the_semicolon_and_are_made_unique(loaded):
    b = ModelBuilder()
    x, *_, y = _relu_chain(b, "in", "a/Relu;a/BiasAdd", "a/Relu;b", "", "out")
    assert tuple(loaded(b, [x], [y]).tensors) == ("in", "a/Relu", "a/Relu_1", "tensor_3", "out")


def test_task_names_count_each_kind(loaded):
    b = ModelBuilder()
    x, *_, y = _relu_chain(b, "a", "b", "c", "d")
    assert [task.name for task in loaded(b, [x], [y]).tasks] == ["relu", "relu_1", "relu_2"]


def test_a_file_without_suffix_is_known_by_its_identifier(tmp_path):
    b = ModelBuilder()
    x, y = _relu_chain(b, "a", "b")
    (tmp_path / "1-model.v2").write_bytes(b.finish([x], [y]))
    assert load(tmp_path / "1-model.v2").name == "model_1_model"


def test_a_batch_that_the_file_leaves_open_is_one(loaded):
    b = ModelBuilder()
    x, y = _relu_chain(b, "a", "b")
    assert loaded(b, [x], [y]).tensors["a"].shape == (1, 4)


def test_fused_activation_becomes_a_clamp_in_output_steps(loaded):
    b = ModelBuilder()
    x = b.activation(1, 2, 2, 1)
    y = b.activation(1, 2, 2, 1, scale=0.1, zero_point=-20)
    _conv(b, x, b.weights(1, 1, 1, 1), y, FusedActivationFunction=3)
    assert getattr(loaded(b, [x], [y]).tasks[0], "clamp", None) == (-20, 40)


def test_same_padding_puts_the_odd_tap_last(loaded):
    b = ModelBuilder()
    x, y = b.activation(1, 8, 7, 1), b.activation(1, 4, 4, 1)
    _conv(b, x, b.weights(1, 3, 3, 1), y, StrideH=2, StrideW=2)
    assert getattr(loaded(b, [x], [y]).tasks[0], "padding", None) == (0, 1, 1, 1)


def test_zero_point_of_fully_connected_weights_is_subtracted(loaded):
    b = ModelBuilder()
    x, y = b.activation(1, 3), b.activation(1, 1)
    w = b.tensor((1, 3), scale=0.1, zero_point=-128, data=[[127, 0, -128]])
    b.op("FULLY_CONNECTED", [x, w], [y], "FullyConnectedOptions")
    assert loaded(b, [x], [y]).tasks[0].weights.tolist() == [[255, 128, 0]]


# Bad models: each builds a model and says which words its message must have


def _bad_type(b: ModelBuilder) -> tuple[int, int]:
    x, y = b.tensor((1, 4), type="FLOAT32", name="pixels"), b.tensor((1, 4), type="FLOAT32")
    b.op("RELU", [x], [y])
    return x, y


def _bad_int16(b: ModelBuilder) -> tuple[int, int]:
    x = b.tensor((1, 4), type="INT16", scale=0.1, name="pixels")
    y = b.tensor((1, 4), type="INT16", scale=0.1)
    b.op("RELU", [x], [y])
    return x, y


def _relu(**fields):
    def build(b: ModelBuilder) -> tuple[int, int]:
        fields.setdefault("scale", 0.1)
        shape = fields.pop("shape", (1, 4))
        x, y = b.tensor(shape, name="pixels", **fields), b.activation(1, 4)
        b.op("RELU", [x], [y])
        return x, y

    return build


def _no_scale(b: ModelBuilder) -> tuple[int, int]:
    x, y = b.activation(1, 4), b.tensor((1, 4), name="hidden")
    b.op("RELU", [x], [y])
    return x, y


def _unsupported(b: ModelBuilder) -> tuple[int, int]:
    x, y = b.activation(1, 4), b.tensor((1, 4), scale=0.1, name="wave")
    b.op("SIN", [x], [y])
    return x, y


def _two(shape_x, shape_y, kind, *constants, options=None, scale_y=None, zero_y=None, **fields):
    def build(b: ModelBuilder) -> tuple[int, int]:
        x = b.activation(*shape_x, scale=0.1, zero_point=0)
        y = b.tensor(shape_y, scale=scale_y or 0.1, zero_point=zero_y, name="y")
        extra = [constant(b) for constant in constants]
        b.op(kind, [x, *extra], [y], options, **fields)
        return x, y

    return build


def _broadcast(b: ModelBuilder) -> tuple[int, int]:
    x, y = b.activation(1, 4, 4, 2), b.tensor((1, 4, 4, 2), scale=0.1, name="y")
    p = b.activation(1, 1, 1, 2)
    b.op("SLICE", [x, b.integers(0, 0, 0, 0), b.integers(1, 1, 1, 2)], [p], "SliceOptions")
    b.op("ADD", [x, p], [y], "AddOptions")
    return x, y


def _conv_model(shape_x=(1, 6, 6, 2), shape_y=(1, 6, 6, 3), weights=None, bias=None, **fields):
    def build(b: ModelBuilder) -> tuple[int, int]:
        x = b.activation(*shape_x)
        y = b.tensor(shape_y, scale=0.1, name="y")
        w = weights(b) if weights else b.weights(3, 3, 3, 2, axis=0)
        _conv(b, x, w, y, *([bias(b)] if bias else []), **fields)
        return x, y

    return build


def _floating_weights(b: ModelBuilder) -> int:
    return b.tensor((3, 3, 3, 2), type="FLOAT32", data=np.zeros((3, 3, 3, 2)), name="kernel")


def _short_weights(b: ModelBuilder) -> int:
    return b.tensor((3, 3, 3, 2), scale=0.1, data=np.zeros(7), name="kernel")


BAD_MODELS = {
    "float model": (_bad_type, "tensor 'pixels' of model input is float32; quantise it to int8"),
    "float model, way out": (_bad_type, "converter and a representative data set, or as ONNX with"),
    "int16 model": (_bad_int16, "tensor 'pixels' of model input is int16, and only int8 is"),
    "dynamic shape": (
        _relu(shape=(1, 1), signature=(-1, -1)),
        r"tensor 'pixels' of model input has shape \[-1, -1\]; every dimension but the batch must",
    ),
    "empty dimension": (_relu(shape=(1, 0)), r"'pixels' of model input has shape \[1, 0\]"),
    "no dimensions": (_relu(shape=()), r"'pixels' of model input has shape \[\]"),
    "missing scale": (_no_scale, r"tensor 'hidden' of operator 0 RELU \('hidden'\) has no scale"),
    "many scales": (_relu(scale=[0.1] * 4), "'pixels' of model input has 4 scales, and needs one"),
    "scale zero": (_relu(scale=0.0), "has scale 0.0, which must be finite and greater than zero"),
    "scale NaN": (_relu(scale=math.nan), "has scale nan, which must be finite"),
    "scale infinite": (_relu(scale=math.inf), "has scale inf, which must be finite"),
    "zero point": (_relu(zero_point=128), "has zero point 128, which is out of the range"),
    "operator": (
        _unsupported,
        r"operator 0 SIN \('wave'\) is not supported; leave it to the host or replace it, with any "
        "of ABS, ADD, ",
    ),
    "float weights": (
        _conv_model(weights=_floating_weights),
        r"operator 0 CONV_2D \('y'\): its weights 'kernel' are float32; quantise it to int8 first",
    ),
    "truncated weights": (
        _conv_model(weights=_short_weights),
        r"the buffer of constant 'kernel' holds 7 elements, but its shape \(3, 3, 3, 2\) needs 54",
    ),
    "variable weights": (
        _conv_model(weights=lambda b: b.activation(3, 3, 3, 2)),
        "operand 't2' must be a constant of the model file",
    ),
    "weights of other channels": (
        _conv_model(weights=lambda b: b.weights(3, 3, 3, 4)),
        r"weights \[3, 3, 3, 4\] do not fit 2 input channels",
    ),
    "weights with zero point": (
        _conv_model(weights=lambda b: b.weights(3, 3, 3, 2, zero_point=1)),
        "its weights must have zero point 0; quantise them symmetrically",
    ),
    "weights per other axis": (
        _conv_model(weights=lambda b: b.weights(3, 3, 3, 2, axis=1)),
        "its weights are quantised along axis 1, not 0",
    ),
    "bias size": (
        _conv_model(bias=lambda b: b.bias(4)),
        "its bias must be 3 int32 numbers, not 4 of int32",
    ),
    "batch of images": (
        _conv_model(shape_x=(2, 6, 6, 2), shape_y=(2, 6, 6, 3)),
        r"its input must be one image \(1, H, W, C\), not \[2, 6, 6, 2\]",
    ),
    "declared shape": (
        _conv_model(shape_y=(1, 5, 6, 3)),
        r"declares an output of \[1, 5, 6, 3\], but the operator computes \[1, 6, 6, 3\]",
    ),
    "stride zero": (
        _conv_model(StrideH=0),
        r"StrideH and StrideW must be at least 1, not \(0, 1\)",
    ),
    "window too large": (
        _conv_model(Padding=1, DilationHFactor=3),
        "a window of 7 does not fit an input of 6 unpadded",
    ),
    "fused tanh": (
        _conv_model(FusedActivationFunction=4),
        "a fused activation must be one of none, relu, relu6, relu_n1_to_1, not 'tanh'",
    ),
    "broadcasting": (
        _broadcast,
        r"operator 1 ADD \('y'\): its operands \[1, 4, 4, 2\] and \[1, 1, 1, 2\] must have equal",
    ),
    "vector constant": (
        _two(
            (1, 4),
            (1, 4),
            "ADD",
            lambda b: b.tensor((4,), scale=0.1, data=[1] * 4, name="c"),
            options="AddOptions",
        ),
        r"constant 'c' must be one int8 with a scale, not int8 \[4\]",
    ),
    "product of activations": (
        _two((1, 4), (1, 4), "MUL", lambda b: 0, options="MulOptions"),
        "two activations are supported for ADD only",
    ),
    "softmax scale": (
        _two((1, 4), (1, 4), "SOFTMAX", options="SoftmaxOptions", Beta=1.0),
        "its output must have scale 1/256 and zero point -128, not",
    ),
    "softmax row": (
        _two(
            (1, 4096),
            (1, 4096),
            "SOFTMAX",
            options="SoftmaxOptions",
            Beta=1.0,
            scale_y=1 / 256,
            zero_y=-128,
        ),
        "rows must have at most 4095 elements, not 4096",
    ),
    "logistic scale": (
        _two((1, 4), (1, 4), "LOGISTIC"),
        "its output must have scale 1/256 and zero point -128, not",
    ),
    "tanh scale": (
        _two((1, 4), (1, 4), "TANH"),
        "its output must have scale 1/128 and zero point 0, not",
    ),
    "hard swish scale": (
        _two((1, 4), (1, 4), "HARD_SWISH", scale_y=1e-5),
        "its output scale .* must not be so much finer than",
    ),
    "relu6 scale": (
        _two((1, 4), (1, 4), "RELU6", scale_y=0.2),
        "its input .* and output .* must share scale and zero point",
    ),
    "pool scale": (
        _two(
            (1, 4, 4, 1),
            (1, 2, 2, 1),
            "MAX_POOL_2D",
            options="Pool2DOptions",
            scale_y=0.2,
            **{"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2},
        ),
        "its input .* and output .* must share scale and zero point",
    ),
    "concatenation scale": (
        _two(
            (1, 4),
            (1, 8),
            "CONCATENATION",
            lambda b: 0,
            options="ConcatenationOptions",
            Axis=1,
            scale_y=0.2,
        ),
        "its inputs and output must share scale and zero point; convert the model with",
    ),
    "concatenation shapes": (
        _two((1, 4), (1, 8), "CONCATENATION", lambda b: 0, options="ConcatenationOptions", Axis=2),
        r"shapes \[\[1, 4\], \[1, 4\]\] do not join on axis 2",
    ),
    "mean axes": (
        _two((2, 4, 4, 3), (2, 3), "MEAN", lambda b: b.integers(1, 2), options="ReducerOptions"),
        r"axes \[1, 2\] of \[2, 4, 4, 3\] are not supported; average over height and width",
    ),
    "axis out of range": (
        _two((1, 4), (1, 1), "MEAN", lambda b: b.integers(5), options="ReducerOptions"),
        r"axes \[5\] do not exist in 2 dimensions",
    ),
    "permutation": (
        _two((1, 4), (4, 1), "TRANSPOSE", lambda b: b.integers(1, 1)),
        r"permutation \(1, 1\) does not fit 2 dimensions",
    ),
    "reshape": (
        _two((1, 4), (1, 5), "RESHAPE"),
        r"declares an output of \[1, 5\], but the operator computes \[1, 4\]",
    ),
    "paddings": (
        _two((1, 4), (1, 4), "PAD", lambda b: b.integers(0, 0, -1, 1)),
        r"paddings \[0, 0, -1, 1\] do not fit an input of \[1, 4\]",
    ),
    "padding value": (
        _two(
            (1, 4),
            (1, 5),
            "PADV2",
            lambda b: b.integers(0, 0, 0, 1),
            lambda b: b.tensor((1,), scale=0.3, data=[1]),
        ),
        "its padding value must have the output's scale and zero point",
    ),
    "slice outside": (
        _two((1, 4), (1, 4), "SLICE", lambda b: b.integers(0, 2), lambda b: b.integers(1, 4)),
        r"start \[0, 2\] and size \[1, 4\] do not fit \[1, 4\]",
    ),
    "backward slice": (
        _two(
            (1, 4),
            (1, 4),
            "STRIDED_SLICE",
            lambda b: b.integers(0, 3),
            lambda b: b.integers(1, -5),
            lambda b: b.integers(1, -1),
            options="StridedSliceOptions",
        ),
        r"strides must be at least 1, not \[1, -1\]",
    ),
    "ellipsis": (
        _two(
            (1, 4),
            (1, 4),
            "STRIDED_SLICE",
            *[lambda b: b.integers(1, 1)] * 3,
            options="StridedSliceOptions",
            EllipsisMask=1,
        ),
        "ellipsis, new axes and offsets are not supported; write plain ranges",
    ),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_bad_model_gets_one_line_that_names_the_node(loaded, case):
    build, message = BAD_MODELS[case]
    b = ModelBuilder()
    x, y = build(b)
    with pytest.raises(UserError, match=message) as caught:
        loaded(b, [x], [y])
    assert "\n" not in str(caught.value)


def test_an_operand_that_nobody_computes_is_named(loaded):
    b = ModelBuilder()
    x, y = b.activation(1, 4), b.activation(1, 4)
    h = b.tensor((1, 4), scale=0.1, name="ghost")
    b.op("ADD", [x, h], [y], "AddOptions")
    with pytest.raises(UserError, match=r"ADD \('t1'\): operand 'ghost' is computed by no earlier"):
        loaded(b, [x], [y])


def test_an_output_that_nobody_computes_is_named(loaded):
    b = ModelBuilder()
    x, y = b.activation(1, 4), b.tensor((1, 4), scale=0.1, name="ghost")
    b.op("RELU", [x], [b.activation(1, 4)])
    with pytest.raises(UserError, match="model output 'ghost' is computed by no operator"):
        loaded(b, [x], [y])


def test_a_name_with_line_breaks_stays_on_one_line(loaded):
    b = ModelBuilder()
    x, y = b.activation(1, 4), b.tensor((1, 4), name="a\nb")
    b.op("RELU", [x], [y])
    with pytest.raises(UserError, match=r"^tensor 'a\?b' of operator 0 RELU .* has no scale"):
        loaded(b, [x], [y])


@pytest.mark.parametrize("back", [0, 1])
def test_conversions_in_a_circle_are_refused(loaded, back):
    b = ModelBuilder()
    x, y = b.activation(1, 4), b.activation(1, 4)
    b.op("DEQUANTIZE", [y], [x])
    b.op("DEQUANTIZE", [[y, x][back]], [y])
    with pytest.raises(UserError, match="operator 1 DEQUANTIZE"):
        loaded(b, [x], [x, y])


def test_a_tensor_too_large_for_any_memory_is_refused(loaded):
    b = ModelBuilder()
    x, y = b.activation(1, 1, 1, 2**31 - 1), b.activation(1, 2**31 - 1)
    b.op("MEAN", [x, b.integers(1, 2)], [y], "ReducerOptions")
    with pytest.raises(UserError, match="has 2147483647 elements; at most 268435456 are supported"):
        loaded(b, [x], [y])


def test_a_model_without_inputs_is_refused(loaded):
    b = ModelBuilder()
    _, y = _relu_chain(b, "a", "b")
    with pytest.raises(UserError, match="no inputs or no outputs"):
        loaded(b, [], [y])


# Bad files


def _model_bytes() -> bytes:
    b = ModelBuilder()
    x, h, y = b.activation(1, 6, 6, 2), b.activation(1, 6, 6, 3), b.activation(1, 4)
    _conv(b, x, b.weights(3, 3, 3, 2, axis=0), h, b.bias(3))
    b.op("FULLY_CONNECTED", [h, b.weights(4, 108), b.bias(4)], [y], "FullyConnectedOptions")
    return b.finish([x], [y])


def _refusal(path: Path, data: bytes) -> str:
    """The line with which a file is refused; empty where it loads."""
    path.write_bytes(data)
    try:
        load(path).check()
    except UserError as error:
        return str(error)
    return ""


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    data = _model_bytes()
    for length in range(0, len(data), 7):
        path = tmp_path / "cut.tflite"
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"cut\.tflite"):
            load(path)


def test_a_file_with_changed_bytes_loads_or_is_refused(tmp_path):
    data, rng = _model_bytes(), np.random.default_rng(0)
    results = []
    for _ in range(600):
        changed = np.frombuffer(data, np.uint8).copy()
        where = rng.integers(8, len(changed), rng.integers(1, 4))
        changed[where] = rng.choice([0, 1, 127, 128, 255, *rng.integers(0, 256, 3)], len(where))
        results.append(_refusal(tmp_path / "m.tflite", changed.tobytes()))
    assert "" in results
    assert any(results)
    assert not any("\n" in line for line in results)


def test_a_file_with_changed_words_loads_or_is_refused(tmp_path):
    data = _model_bytes()
    for start in range(8, len(data) - 4, 12):
        for word in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"):
            changed = data[:start] + word + data[start + 4 :]
            assert "\n" not in _refusal(tmp_path / "m.tflite", changed)


def test_a_changed_resnet8_loads_or_is_refused(tmp_path):
    data = model_path("mlperf_tiny/resnet8/resnet8_int8.tflite").read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(40):
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(8, len(changed), 200)] = rng.integers(0, 256, 200)
        assert "\n" not in _refusal(tmp_path / "m.tflite", changed.tobytes())


def test_random_bytes_behind_the_identifier_are_refused(tmp_path):
    rng = np.random.default_rng(2)
    for _ in range(100):
        data = b"\x10\0\0\0TFL3" + rng.integers(0, 256, 400, np.uint8).tobytes()
        path = tmp_path / "m.tflite"
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"m\.tflite"):
            load(path)


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    path = tmp_path / "photo.tflite"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(UserError, match=r"photo.tflite' is not a TensorFlow Lite file \(no TFL3"):
        load(path)
    path = tmp_path / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UserError, match=r"model.h5' is not a model file .* .tflite or .onnx file$"):
        load(path)


@pytest.mark.parametrize("name", ["absent.tflite", "absent", "."])
def test_an_unreadable_path_is_named(tmp_path, name):
    with pytest.raises(UserError, match=r"^cannot read '.*': (No such file|Is a directory)"):
        load(tmp_path / name)
    with pytest.raises(UserError, match=r"^cannot read"):
        tflite_file.read(tmp_path / name)


def test_a_file_of_several_subgraphs_is_refused(tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_bytes(_model_bytes())
    monkeypatch.setattr(tflite.Model, "SubgraphsLength", lambda self: 2)
    with pytest.raises(UserError, match=r"m.tflite': 2 subgraphs; control flow"):
        load(tmp_path / "m.tflite")
