"""The ONNX frontend against ONNX Runtime, operator by operator."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import gen.frontends.onnx as frontend
from gen.frontends import onnx_file
from gen.graph import Tensor
from gen.quantise_onnx import quantise
from sim import golden

from ..models import model_path
from ..onnx_models import DATA, MICROSOFT, Net, compare, held, ints, kinds, session

CONVOLUTIONS = {
    "plain": ((1, 3, 8, 8), (5, 3, 3, 3), {}),
    "one_by_one": ((1, 6, 5, 7), (4, 6, 1, 1), {}),
    "padded": ((1, 3, 8, 8), (5, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    "padded_unevenly": ((1, 3, 8, 9), (5, 3, 3, 2), {"pads": [0, 1, 2, 1], "strides": [2, 3]}),
    "dilated": ((1, 3, 9, 9), (4, 3, 3, 3), {"dilations": [2, 3], "pads": [2, 2, 2, 2]}),
    "grouped": ((1, 6, 6, 6), (4, 3, 3, 3), {"group": 2}),
    "depthwise": ((1, 6, 6, 6), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    "depthwise_twofold": ((1, 4, 6, 6), (8, 1, 3, 3), {"group": 4}),
    "same_upper": ((1, 3, 8, 8), (4, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same_lower": ((1, 3, 8, 7), (4, 3, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "valid": ((1, 3, 8, 7), (4, 3, 3, 3), {"auto_pad": "VALID"}),
    "of_one_dimension": ((1, 4, 20), (6, 4, 5), {"pads": [3, 1], "strides": [2]}),
    "of_one_dimension_dilated": ((1, 4, 20), (4, 1, 3), {"group": 4, "dilations": [4]}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_convolution_agrees_with_onnx_runtime(case, form, tmp_path):
    x_shape, w_shape, attributes = CONVOLUTIONS[case]
    net = Net()
    x = net.integers(x_shape)
    w = net.quantised_weights(w_shape, axis=0)
    scales = numpy_helper.to_array(net.constants[-2])
    bias = net.constant(net.rng.integers(-3000, 3000, w_shape[0]), np.int32)
    bias_scale = net.constant(np.float32(0.05) * scales, np.float32)
    real = [net.node("DequantizeLinear", x), net.node("DequantizeLinear", w, axis=0)]
    y = net.node(
        "Conv", [*real, net.node("DequantizeLinear", [bias, bias_scale], axis=0)], **attributes
    )
    scale, zero = net.calibrated(y)
    if form == "qoperator":
        net.nodes = net.nodes[:1]
        q = net.node("QLinearConv", [*x, *w, *net.parameters(scale, zero), bias], **attributes)
    else:
        q = net.quantise(y, scale, zero)
    graph = compare(net, [q], tmp_path)
    assert kinds(graph)[-1] in ("conv", "reshape")
    assert kinds(graph).count("conv") == 1
    assert "transpose" not in kinds(graph)


@pytest.mark.parametrize("zero", [0, 131])
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_unsigned_activations_and_weights_are_held_128_lower(form, zero, tmp_path):
    net = Net("uint8")
    x = net.integers((1, 3, 7, 7), zero=-30)
    w = net.quantised_weights((4, 3, 3, 3), dtype="uint8", zero=zero)
    real = [net.node("DequantizeLinear", x), net.node("DequantizeLinear", w)]
    y = net.node("Relu", [net.node("Conv", real, pads=[1, 1, 1, 1])])
    scale, zero = net.calibrated(y)
    if form == "qoperator":
        del net.nodes[1:]
        q = net.node("QLinearConv", [*x, *w, *net.parameters(scale, zero)], pads=[1, 1, 1, 1])
    else:
        q = net.quantise(y, scale, zero)
    graph = compare(net, [q], tmp_path)
    assert kinds(graph) == ["conv"]
    assert [graph.tensors[name].offset for name in (*graph.inputs, *graph.outputs)] == [128, 128]


def test_float_bias_is_quantised_to_the_accumulator(tmp_path):
    net = Net()
    bias = net.constant(net.rng.normal(0, 20, 5), np.float32)
    y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((5, 3, 3, 3)), bias])
    compare(net, [net.quantise(y)], tmp_path)


def test_channel_of_zero_weights_keeps_its_bias(tmp_path):
    net = Net()
    codes = net.rng.integers(-128, 128, (4, 3, 3, 3))
    codes[2] = 0
    parameters = net.parameters([0.01, 0.01, 1e-12, 0.01], [0] * 4)
    names = [net.constant(codes, np.int8), *parameters]
    w = net.node("DequantizeLinear", names, axis=0)
    bias = net.constant([1, -2, 9.5, 3], np.float32)
    y = net.node("Conv", [net.real((1, 3, 6, 6)), w, bias])
    compare(net, [net.quantise(y)], tmp_path)


def test_weights_quantised_in_the_model_are_folded(tmp_path):
    net = Net()
    w = net.constant(net.rng.normal(0, 1, (4, 3, 3, 3)), np.float32)
    parameters = net.parameters([0.02, 0.01, 0.03, 0.04], [0] * 4)
    q = net.node("QuantizeLinear", [w, *parameters], axis=0)
    w = net.node("DequantizeLinear", [q, *parameters], axis=0)
    graph = compare(net, [net.quantise(net.node("Conv", [net.real((1, 3, 6, 6)), w]))], tmp_path)
    assert kinds(graph) == ["conv"]


@pytest.mark.parametrize("activation", ["Relu", "Clip", "Clip from attributes"])
@pytest.mark.parametrize("op", ["Conv", "Gemm", "Add", "AveragePool"])
def test_relu_and_clip_before_quantisation_become_clamps(op, activation, tmp_path):
    net = Net(opset=10 if activation == "Clip from attributes" else 20)
    if op == "Conv":
        y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((5, 3, 3, 3))])
    elif op == "Gemm":
        y = net.node(
            "Gemm", [net.real((1, 30)), net.weights((30, 20)), net.constant([0], np.float32)]
        )
    elif op == "Add":
        y = net.node("Add", [net.real((1, 3, 6, 6)), net.real((1, 3, 6, 6), 0.03)])
    else:
        y = net.node("AveragePool", [net.real((1, 3, 6, 6))], kernel_shape=[2, 2])
    if activation == "Clip":
        bounds = [net.constant(0, np.float32), net.constant(2.5, np.float32)]
        y = net.node("Clip", [y, *bounds])
    elif activation == "Relu":
        y = net.node("Relu", [y])
    else:
        y = net.node("Clip", [y], min=-1.0, max=2.0)
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert len(graph.tasks) == 1


def test_relu_between_equal_scales_is_fused_as_a_clamp(tmp_path):
    net = Net()
    y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((5, 3, 3, 3))])
    parameters = net.parameters(0.2, 11)
    y = net.node("DequantizeLinear", [net.node("QuantizeLinear", [y, *parameters]), *parameters])
    q = net.node("QuantizeLinear", [net.node("Relu", [y]), *parameters])
    graph = compare(net, [q], tmp_path)
    assert kinds(graph) == ["conv"]
    assert graph.tasks[0].clamp == (11, 127)


@pytest.mark.parametrize("shape", [(1, 3, 6, 6), (1, 3, 9)])
def test_batch_normalisation_after_conv_is_folded(shape, tmp_path):
    net = Net()
    y = net.node("Conv", [net.real(shape), net.weights((4, 3, *[3] * (len(shape) - 2)), 0)])
    values = [[1.5, -0.5, 0.0, 2], [1, 2, 3, -4], [0.5, 0, 2, 1], [1, 4, 0.25, 2]]
    y = net.node("BatchNormalization", [y, *(net.constant(v, np.float32) for v in values)])
    graph = compare(net, [net.quantise(net.node("Relu", [y]))], tmp_path)
    assert kinds(graph).count("conv") == 1


@pytest.mark.parametrize("shape", [(1, 4, 6, 6), (1, 4, 9), (1, 4)])
def test_batch_normalisation_alone_is_a_depthwise_convolution(shape, tmp_path):
    net = Net()
    values = [[1.5, -0.5, 0.0, 2], [1, 2, 3, -4], [0.5, 0, 2, 1], [1, 4, 0.25, 2]]
    constants = [net.constant(v, np.float32) for v in values]
    y = net.node("BatchNormalization", [net.real(shape), *constants])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert kinds(graph).count("conv") == 1


@pytest.mark.parametrize(
    ("op", "swapped", "per"),
    [
        (op, swapped, per)
        for op in ("Add", "Sub", "Mul", "Div")
        for swapped in (False, True)
        for per in ("tensor", "channel")
        if (op, swapped, per) != ("Div", True, "channel")
    ],
)
def test_constant_operands_are_tables_or_gains(op, swapped, per, tmp_path):
    net = Net()
    size = () if per == "tensor" else (4, 1, 1)
    c = net.constant(net.rng.uniform(0.5, 3, size), np.float32)
    x = net.real((1, 4, 5, 5), zero=-128)
    x = net.node("Add", [x, net.constant(0.5, np.float32)]) if (op, swapped) == ("Div", True) else x
    y = net.node(op, [c, x] if swapped else [x, c])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert kinds(graph) == ["lookup" if per == "tensor" else "conv"]


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_gemm_agrees_with_onnx_runtime(form, transposed, per_channel, tmp_path):
    net = Net()
    x = net.integers((1, 40))
    axis = (0 if transposed else 1) if per_channel else None
    w = net.quantised_weights((12, 40) if transposed else (40, 12), axis)
    scale_w = numpy_helper.to_array(net.constants[-2])
    bias = net.rng.integers(-3000, 3000, 12)
    real_bias = net.constant(bias * np.float32(0.05) * scale_w, np.float32)
    real = [net.node("DequantizeLinear", x)]
    real += [net.node("DequantizeLinear", w, **({} if axis is None else {"axis": axis}))]
    y = net.node("Gemm", [*real, real_bias], transB=transposed)
    scale, zero = net.calibrated(y)
    if form == "qoperator":
        del net.nodes[1:]
        names = [*x, *w, net.constant(bias, np.int32), *net.parameters(scale, zero)]
        q = net.node("QGemm", names, transB=transposed, domain=MICROSOFT)
    else:
        q = net.quantise(y, scale, zero)
    graph = compare(net, [q], tmp_path)
    assert kinds(graph) == ["matmul"]


def test_gemm_applies_alpha_and_beta(tmp_path):
    net = Net()
    bias = net.constant(net.rng.normal(0, 9, (1, 12)), np.float32)
    y = net.node("Gemm", [net.real((1, 20)), net.weights((20, 12)), bias], alpha=0.5, beta=3.0)
    compare(net, [net.quantise(y)], tmp_path)


@pytest.mark.parametrize("shape", [(1, 40), (5, 40), (1, 6, 40), (1, 2, 3, 40)])
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_matmul_with_constant_weights_agrees_with_onnx_runtime(form, shape, tmp_path):
    net = Net()
    x, w = net.integers(shape), net.quantised_weights((40, 12))
    y = net.node("MatMul", [net.node("DequantizeLinear", x), net.node("DequantizeLinear", w)])
    scale, zero = net.calibrated(y)
    if form == "qoperator":
        del net.nodes[1:]
        q = net.node("QLinearMatMul", [*x, *w, *net.parameters(scale, zero)])
    else:
        q = net.quantise(y, scale, zero)
    graph = compare(net, [q], tmp_path)
    assert kinds(graph) == ["matmul"]


def test_transposed_weights_and_a_bias_after_matmul_are_folded(tmp_path):
    net = Net()
    w = net.node("Transpose", [net.weights((12, 40), axis=0)], perm=[1, 0])
    y = net.node("MatMul", [net.real((1, 6, 40)), w])
    y = net.node("Add", [net.constant(net.rng.normal(0, 9, 12), np.float32), y])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert kinds(graph) == ["matmul"]


@pytest.mark.parametrize("op", ["Flatten", "Reshape"])
@pytest.mark.parametrize("shape", [(1, 3, 6, 7), (1, 3, 12)])
def test_flattened_image_permutes_the_weights_of_a_gemm(op, shape, tmp_path):
    net = Net()
    rank = len(shape)
    y = net.node("Conv", [net.real(shape), net.weights((5, 3, *[3] * (rank - 2)))])
    y = net.requantise(net.node("Relu", [y]))
    inner = 5 * int(np.prod([n - 2 for n in shape[2:]]))
    flat = [net.constant([1, -1], np.int64)] if op == "Reshape" else []
    y = net.node(op, [y, *flat])
    y = net.node("Gemm", [y, net.weights((inner, 9))])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert [k for k in kinds(graph) if k != "reshape"] == ["conv", "matmul"]


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_sum_agrees_with_onnx_runtime(form, dtype, tmp_path):
    net = Net(dtype)
    a, b = net.integers((1, 3, 6, 6), 0.05, -7), net.integers((1, 3, 6, 6), 0.013, 90)
    y = net.node("Add", [net.node("DequantizeLinear", a), net.node("DequantizeLinear", b)])
    scale, zero = net.calibrated(y)
    if form == "qoperator":
        del net.nodes[2:]
        q = net.node("QLinearAdd", [*a, *b, *net.parameters(scale, zero)], domain=MICROSOFT)
    else:
        q = net.quantise(y, scale, zero)
    assert kinds(compare(net, [q], tmp_path)) == ["add"]


def test_difference_negates_exactly(tmp_path):
    net = Net()
    y = net.node("Sub", [net.real((1, 60), 0.05), net.real((1, 60), 0.04, -20)])
    assert kinds(compare(net, [net.quantise(y)], tmp_path)) == ["lookup", "add"]


def test_sum_of_differently_arranged_tensors_transposes_one(tmp_path):
    net = Net()
    y = net.node("Conv", [net.real((1, 4, 5, 6)), net.weights((4, 4, 1, 1))])
    flat = net.real((1, 120))
    other = net.node("Reshape", [flat, net.constant([1, 4, 5, 6], np.int64)])
    y = net.node("Add", [other, net.requantise(y)])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert kinds(graph).count("transpose") == 1


POOLS = {
    "plain": ((1, 3, 8, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "padded": ((1, 3, 8, 8), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "padded_unevenly": ((1, 3, 8, 9), {"kernel_shape": [3, 2], "pads": [0, 1, 2, 0]}),
    "rounded_up": ((1, 3, 8, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "same": ((1, 3, 7, 7), {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "of_one_dimension": ((1, 3, 20), {"kernel_shape": [3], "strides": [3]}),
}


@pytest.mark.parametrize("case", POOLS)
@pytest.mark.parametrize("form", ["qdq", "integer"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_max_pool_is_exact(case, form, dtype, tmp_path):
    shape, attributes = POOLS[case]
    net = Net(dtype)
    x = net.integers(shape)
    if form == "integer":
        q = net.node("MaxPool", [x[0]], **attributes)
    else:
        y = net.node("MaxPool", [net.node("DequantizeLinear", x)], **attributes)
        q = net.node("QuantizeLinear", [y, *x[1:]])
    graph = compare(net, [q], tmp_path, steps=0)
    assert kinds(graph).count("pool") == 1


@pytest.mark.parametrize("case", POOLS)
@pytest.mark.parametrize("scales", ["equal", "calibrated"])
def test_average_pool_agrees_with_onnx_runtime(case, scales, tmp_path):
    shape, attributes = POOLS[case]
    net = Net()
    x = net.integers(shape)
    y = net.node("AveragePool", [net.node("DequantizeLinear", x)], **attributes)
    same = scales == "equal"
    q = net.node("QuantizeLinear", [y, *x[1:]]) if same else net.quantise(y)
    graph = compare(net, [q], tmp_path)
    assert not same or "pool" in kinds(graph)


def test_average_pool_that_counts_padding_agrees_with_onnx_runtime(tmp_path):
    net = Net()
    x = net.integers((1, 3, 8, 8))
    y = net.node(
        "AveragePool",
        [net.node("DequantizeLinear", x)],
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=1,
    )
    compare(net, [net.node("QuantizeLinear", [y, *x[1:]])], tmp_path)


@pytest.mark.parametrize("op", ["QLinearAveragePool", "QLinearGlobalAveragePool"])
def test_quantised_average_pool_agrees_with_onnx_runtime(op, tmp_path):
    net = Net("uint8")
    x = net.integers((1, 12, 8, 8))
    attributes = {"kernel_shape": [4, 4], "strides": [2, 2]} if op == "QLinearAveragePool" else {}
    y = net.node(op.removeprefix("QLinear"), [net.node("DequantizeLinear", x)], **attributes)
    scale, zero = net.calibrated(y)
    del net.nodes[1:]
    q = net.node(op, [*x, *net.parameters(scale, zero)], domain=MICROSOFT, **attributes)
    assert kinds(compare(net, [q], tmp_path)) == ["conv"]


@pytest.mark.parametrize("shape", [(1, 30, 7, 5), (1, 30, 9)])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["GlobalAveragePool", "ReduceMean", "ReduceMean before 18"])
def test_mean_over_an_image_rounds_once(op, keep, shape, tmp_path):
    net = Net(opset=13 if "before" in op else 20)
    x = net.real(shape)
    axes = list(range(2, len(shape)))
    if op == "GlobalAveragePool":
        y = net.node(op, [x])
        y = y if keep else net.node("Flatten", [y])
    elif "before" in op:
        y = net.node("ReduceMean", [x], axes=axes, keepdims=keep)
    else:
        y = net.node(op, [x, net.constant(axes, np.int64)], keepdims=keep)
    assert "conv" in kinds(compare(net, [net.quantise(y)], tmp_path))


@pytest.mark.parametrize("axes", [[1], [2], [1, 2], [-1]])
def test_mean_over_any_neighbouring_axes_agrees_with_onnx_runtime(axes, tmp_path):
    net = Net()
    y = net.node("ReduceMean", [net.real((1, 6, 8, 5)), net.constant(axes, np.int64)])
    compare(net, [net.quantise(y)], tmp_path)


UNARY = {
    "Abs": {},
    "Celu": {"alpha": 1.5},
    "Ceil": {},
    "Elu": {"alpha": 0.7},
    "Erf": {},
    "Exp": {},
    "Floor": {},
    "Gelu": {},
    "HardSigmoid": {"alpha": 0.15},
    "HardSwish": {},
    "LeakyRelu": {"alpha": 0.2},
    "Log": {},
    "Mish": {},
    "Neg": {},
    "Reciprocal": {},
    "Relu": {},
    "Round": {},
    "Selu": {},
    "Sigmoid": {},
    "Sign": {},
    "Softplus": {},
    "Softsign": {},
    "Sqrt": {},
    "Tanh": {},
    "ThresholdedRelu": {"alpha": 0.6},
}


@pytest.mark.parametrize("op", UNARY)
def test_function_of_one_number_is_a_table(op, tmp_path):
    net = Net()
    positive = op in ("Log", "Sqrt", "Reciprocal")
    # The zero point keeps reals away from the poles and from ties of the rounding functions.
    x = net.real((1, 300), 0.037, -129 + 1 if positive else 5)
    x = net.node("Add", [x, net.constant(0.301 if positive else 0.0, np.float32)])
    graph = compare(net, [net.quantise(net.node(op, [x], **UNARY[op]))], tmp_path)
    assert kinds(graph) == ["lookup"]


@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "QuickGelu"])
def test_gelu_of_the_microsoft_domain_is_a_table(op, tmp_path):
    net = Net()
    y = net.node(op, [net.real((1, 300))], domain=MICROSOFT)
    assert kinds(compare(net, [net.quantise(y)], tmp_path)) == ["lookup"]


def test_gelu_by_tanh_is_a_table(tmp_path):
    net = Net()
    y = net.node("Gelu", [net.real((1, 300))], approximate="tanh")
    assert kinds(compare(net, [net.quantise(y)], tmp_path)) == ["lookup"]


@pytest.mark.parametrize("between", [False, True], ids=["float", "quantised between"])
def test_gelu_spelled_out_with_erf_is_one_table(between, tmp_path):
    net = Net()
    x = net.real((1, 300))
    step = net.requantise if between else lambda name: name
    y = step(net.node("Div", [x, net.constant(2**0.5, np.float32)]))
    y = step(net.node("Erf", [y]))
    y = step(net.node("Add", [y, net.constant(1, np.float32)]))
    y = step(net.node("Mul", [x, y]))
    y = net.node("Mul", [y, net.constant(0.5, np.float32)])
    assert kinds(compare(net, [net.quantise(y)], tmp_path)) == ["lookup"]


@pytest.mark.parametrize("between", [False, True], ids=["float", "quantised between"])
def test_silu_spelled_out_is_one_table(between, tmp_path):
    net = Net()
    x = net.real((1, 4, 9, 9))
    y = net.node("Sigmoid", [x])
    y = net.node("Mul", [x, net.requantise(y) if between else y])
    assert kinds(compare(net, [net.quantise(y)], tmp_path)) == ["lookup"]


@pytest.mark.parametrize("op", ["QLinearSigmoid", "QLinearLeakyRelu"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantised_function_is_a_table(op, dtype, tmp_path):
    net = Net(dtype)
    x = net.integers((1, 300))
    attributes = {"alpha": 0.1} if op == "QLinearLeakyRelu" else {}
    y = net.node(op.removeprefix("QLinear"), [net.node("DequantizeLinear", x)], **attributes)
    scale, zero = net.calibrated(y)
    del net.nodes[1:]
    q = net.node(op, [*x, *net.parameters(scale, zero)], domain=MICROSOFT, **attributes)
    assert kinds(compare(net, [q], tmp_path)) == ["lookup"]


def test_max_and_min_with_a_number_clamp(tmp_path):
    net = Net()
    y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((5, 3, 3, 3))])
    y = net.node("Max", [y, net.constant(-3, np.float32)])
    y = net.node("Min", [net.constant(4, np.float32), y])
    assert kinds(compare(net, [net.quantise(y)], tmp_path)) == ["conv"]


@pytest.mark.parametrize("scale", [1 / 256, 1 / 255])
@pytest.mark.parametrize("shape", [(1, 10), (1, 3, 40), (1, 2, 3, 8)])
def test_softmax_agrees_with_onnx_runtime(shape, scale, tmp_path):
    net = Net()
    q = net.quantise(net.node("Softmax", [net.real(shape, 0.06)]), np.float32(scale), -128)
    graph = compare(net, [q], tmp_path)
    assert kinds(graph) == (["softmax"] if scale == 1 / 256 else ["softmax", "lookup"])


def test_softmax_over_channels_needs_no_transpose(tmp_path):
    net = Net()
    y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((5, 3, 1, 1))])
    y = net.node("Softmax", [net.requantise(y)], axis=1)
    graph = compare(net, [net.quantise(y, np.float32(1 / 256), -128)], tmp_path)
    assert kinds(graph) == ["conv", "softmax"]


def test_softmax_before_opset_13_spans_all_later_axes(tmp_path):
    net = Net(opset=11)
    y = net.node("Softmax", [net.real((2, 3, 4), 0.06)])
    compare(net, [net.quantise(y, np.float32(1 / 256), -128)], tmp_path)


def test_quantised_softmax_agrees_with_onnx_runtime(tmp_path):
    net = Net()
    x = net.integers((1, 10), 0.06)
    names = [*x, *net.parameters(1 / 256, -128)]
    q = net.node("QLinearSoftmax", names, axis=-1, opset=13, domain=MICROSOFT)
    assert kinds(compare(net, [q], tmp_path)) == ["softmax"]


def test_float_softmax_at_the_end_is_held_at_its_natural_scale(tmp_path):
    net = Net()
    y = net.node("Softmax", [net.real((1, 10), 0.06)])
    compare(net, [y], tmp_path, model=net.model([y], TensorProto.FLOAT))


def test_float_output_is_the_integers_before_its_dequantisation(tmp_path):
    net = Net()
    y = net.requantise(net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((5, 3, 3, 3))]))
    graph = compare(net, [y], tmp_path, model=net.model([y], TensorProto.FLOAT))
    assert graph.outputs == (y,)
    assert graph.tensors[y].layout == (0, 2, 3, 1)


@pytest.mark.parametrize("value", [0.0, 1.5])
@pytest.mark.parametrize("shape", [(1, 3, 6, 6), (1, 3, 7), (2, 9)])
def test_constant_padding_agrees_with_onnx_runtime(shape, value, tmp_path):
    net = Net()
    x = net.integers(shape)
    pads = np.arange(2 * len(shape)) % 3
    pads[[0, len(shape)]] = 0
    names = [net.constant(pads, np.int64), net.constant(value, np.float32)]
    y = net.node("Pad", [net.node("DequantizeLinear", x), *names])
    compare(net, [net.node("QuantizeLinear", [y, *x[1:]])], tmp_path)
    compare(net, [net.quantise(y)], tmp_path)


def test_padding_of_integers_keeps_their_code(tmp_path):
    net = Net("uint8")
    x = net.integers((1, 3, 5, 5))
    names = [net.constant([0, 0, 1, 1, 0, 0, 2, 2], np.int64), net.constant(77, np.uint8)]
    compare(net, [net.node("Pad", [x[0], *names])], tmp_path, steps=0)


@pytest.mark.parametrize(("value", "fused"), [(0.0, True), (1.0, False)])
def test_zeros_padded_before_a_convolution_are_its_own_padding(value, fused, tmp_path):
    net = Net()
    x = net.integers((1, 3, 6, 6))
    pads = ints(net, [0, 0, 1, 2, 0, 0, 0, 1])
    y = net.node("Pad", [net.node("DequantizeLinear", x), pads, net.constant(value, np.float32)])
    y = net.node("DequantizeLinear", [net.node("QuantizeLinear", [y, *x[1:]]), *x[1:]])
    y = net.node("Conv", [y, net.weights((4, 3, 3, 3))], pads=[1, 1, 0, 0])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert kinds(graph) == (["conv"] if fused else ["pad", "conv"])


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_concat_requantises_inputs_of_other_scales(form, axis, tmp_path):
    net = Net()
    shapes = [(1, 3, 5, 5), (1, 4, 5, 5)] if axis == 1 else [(1, 3, 5, 5), (1, 3, 5, 2)]
    a, b = net.integers(shapes[0], 0.05), net.integers(shapes[1], 0.02, -20)
    real = [net.node("DequantizeLinear", names) for names in (a, b)]
    y = net.node("Concat", real, axis=axis)
    scale, zero = net.calibrated(y)
    if form == "qoperator":
        del net.nodes[2:]
        names = [*net.parameters(scale, zero), *a, *b]
        q = net.node("QLinearConcat", names, axis=axis, domain=MICROSOFT)
    else:
        q = net.quantise(y, scale, zero)
    graph = compare(net, [q], tmp_path)
    assert "concat" in kinds(graph)
    assert "lookup" in kinds(graph)


def test_concat_of_equal_scales_needs_no_table(tmp_path):
    net = Net()
    x = net.integers((1, 3, 5, 5))
    y = net.node("Relu", [net.node("DequantizeLinear", x)])
    y = net.node("DequantizeLinear", [net.node("QuantizeLinear", [y, *x[1:]]), *x[1:]])
    joined = net.node("Concat", [net.node("DequantizeLinear", x), y], axis=1)
    graph = compare(net, [net.node("QuantizeLinear", [joined, *x[1:]])], tmp_path, steps=0)
    assert kinds(graph).count("lookup") == 1


MOVES = {
    "Reshape": ((1, 3, 4, 6), lambda net, x: net.node("Reshape", [x, ints(net, [0, 2, -1])])),
    "Reshape across": ((1, 6, 4), lambda net, x: net.node("Reshape", [x, ints(net, [1, 8, 3])])),
    "Flatten": ((2, 3, 4, 6), lambda net, x: net.node("Flatten", [x], axis=2)),
    "Squeeze": ((1, 3, 1, 6), lambda net, x: net.node("Squeeze", [x, ints(net, [2])])),
    "Unsqueeze": ((3, 6), lambda net, x: net.node("Unsqueeze", [x, ints(net, [0, 3])])),
    "Transpose": ((1, 3, 4, 6), lambda net, x: net.node("Transpose", [x], perm=[0, 3, 1, 2])),
    "Identity": ((1, 30), lambda net, x: net.node("Identity", [x])),
    "Dropout": ((1, 30), lambda net, x: net.node("Dropout", [x])),
    "Slice": (
        (1, 6, 9, 8),
        lambda net, x: net.node(
            "Slice",
            [x, ints(net, [1, -7]), ints(net, [5, 100]), ints(net, [1, 2]), ints(net, [2, 3])],
        ),
    ),
}


@pytest.mark.parametrize(
    ("case", "form", "before"),
    [
        (case, form, before)
        for case, (shape, _) in MOVES.items()
        for form in ("qdq", "integer")
        for before in ("input", "convolution")
        if (case, form) != ("Dropout", "integer")
        and (before == "input" or (len(shape) in (3, 4) and shape[0] == 1))
    ],
)
def test_moves_are_exact(case, form, before, tmp_path):
    shape, move = MOVES[case]
    net = Net()
    if before == "convolution":
        kernel = [1] * (len(shape) - 2)
        y = net.node("Conv", [net.real(shape), net.weights((shape[1], shape[1], *kernel))])
        scale, zero = net.calibrated(y)
        parameters = net.parameters(scale, zero)
        x = [net.node("QuantizeLinear", [y, *parameters]), *parameters]
    else:
        x = net.integers(shape)
    if form == "integer":
        q = move(net, x[0])
    else:
        q = net.node("QuantizeLinear", [move(net, net.node("DequantizeLinear", x)), *x[1:]])
    compare(net, [q], tmp_path, steps=0 if before == "input" else 1)


def test_transposes_around_a_convolution_move_nothing(tmp_path):
    net = Net()
    x = net.node("Transpose", [net.real((1, 6, 5, 3))], perm=[0, 3, 1, 2])
    y = net.requantise(net.node("Conv", [x, net.weights((4, 3, 3, 3))]))
    y = net.node("Transpose", [y], perm=[0, 2, 3, 1])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert set(kinds(graph)) <= {"conv", "lookup"}
    assert graph.tensors[graph.inputs[0]].layout is None


def test_channel_shuffle_is_one_transpose(tmp_path):
    net = Net()
    y = net.node("Reshape", [net.real((1, 6, 4, 4)), ints(net, [1, 2, 3, 4, 4])])
    y = net.node("Transpose", [y], perm=[0, 2, 1, 3, 4])
    y = net.node("Reshape", [y, ints(net, [1, 6, 4, 4])])
    y = net.node("Conv", [y, net.weights((6, 1, 3, 3))], group=6)
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert kinds(graph).count("transpose") == 1


def test_split_makes_slices(tmp_path):
    net = Net()
    x = net.integers((1, 6, 5, 5))
    parts = net.node("Split", [net.node("DequantizeLinear", x), ints(net, [2, 4])], 2, axis=1)
    outputs = [net.node("QuantizeLinear", [part, *x[1:]]) for part in parts]
    assert kinds(compare(net, outputs, tmp_path, steps=0)) == ["slice", "slice"]


@pytest.mark.parametrize("seed", range(30))
def test_chains_of_moves_keep_every_element_in_place(seed, tmp_path):
    net = Net(seed=seed)
    shape = [(1, 6, 4, 8), (1, 6, 8), (1, 24), (2, 3, 4), (1, 8, 6)][seed % 5]
    x = net.integers(shape)
    y = net.node("DequantizeLinear", x)
    for _ in range(12):
        y, shape = moved_at_random(net, y, shape)
    compare(net, [net.node("QuantizeLinear", [y, *x[1:]])], tmp_path, steps=0)


def moved_at_random(net, y, shape):
    """One random operator that moves elements, or an exact convolution or product."""
    rank = len(shape)
    choice = net.rng.integers(8)
    axis = int(net.rng.integers(rank))
    if choice == 0:
        order = net.rng.permutation(rank).tolist()
        return net.node("Transpose", [y], perm=order), tuple(shape[i] for i in order)
    if choice == 1:
        factors = [n for size in shape for n in _prime_factors(size)]
        cuts = sorted(net.rng.integers(0, len(factors) + 1, int(net.rng.integers(1, 4))))
        shape = tuple(int(np.prod(part)) for part in np.split(factors, cuts))
        return net.node("Reshape", [y, ints(net, list(shape))]), shape
    if choice == 2 and shape[axis] > 2:
        shape = tuple(n - (i == axis) for i, n in enumerate(shape))
        names = [ints(net, [v]) for v in (1, 99, axis)]
        return net.node("Slice", [y, *names]), shape
    if choice == 3 and np.prod(shape) < 300:
        shape = tuple(n * (1 + (i == axis)) for i, n in enumerate(shape))
        return net.node("Concat", [y, y], axis=axis), shape
    if choice == 4 and rank < 5:
        return net.node("Unsqueeze", [y, ints(net, [axis])]), (*shape[:axis], 1, *shape[axis:])
    if choice == 5 and rank in (3, 4) and shape[0] == 1:
        kernel = [1] * (rank - 2)
        return net.node("MaxPool", [y], kernel_shape=kernel), shape
    if choice == 6:
        pads = [0] * (2 * rank)
        pads[axis] = 1
        shape = tuple(n + (i == axis) for i, n in enumerate(shape))
        padded = net.node("Pad", [y, ints(net, pads), net.constant(0.05, np.float32)])
        return exact(net, padded), shape
    if choice == 7 and rank > 1:
        size = shape[-1]
        codes = net.constant(np.eye(size)[net.rng.permutation(size)], np.int8)
        w = net.node("DequantizeLinear", [codes, *net.parameters(1, 0)])
        return exact(net, net.node("MatMul", [y, w])), shape
    return y, shape


def exact(net, y):
    parameters = net.parameters(0.05, 3)
    q = net.node("QuantizeLinear", [y, *parameters])
    return net.node("DequantizeLinear", [q, *parameters])


def _prime_factors(n):
    factors, p = [], 2
    while n > 1:
        while n % p == 0:
            factors.append(p)
            n //= p
        p += 1
    return factors


def test_moves_between_an_operator_and_its_quantisation_are_exact(tmp_path):
    net = Net()
    y = net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((5, 3, 3, 3))])
    y = net.node("MaxPool", [net.node("Relu", [y])], kernel_shape=[2, 2])
    y = net.node("Transpose", [net.node("Reshape", [y, ints(net, [5, -1])])], perm=[1, 0])
    compare(net, [net.quantise(y)], tmp_path)


def test_shape_computed_by_the_exporter_is_folded(tmp_path):
    net = Net()
    x = net.real((1, 3, 4, 4))
    batch = net.node("Gather", [net.node("Shape", [x]), net.constant(0, np.int64)])
    batch = net.node("Unsqueeze", [batch, ints(net, [0])])
    y = net.node("Reshape", [x, net.node("Concat", [batch, ints(net, [-1])], axis=0)])
    y = net.node("Gemm", [y, net.weights((48, 10))])
    compare(net, [net.quantise(y)], tmp_path)


def test_integer_inputs_take_the_scale_of_their_reader(tmp_path):
    net = Net("uint8")
    net.inputs.append(helper.make_tensor_value_info("x", TensorProto.UINT8, (1, 3, 6, 6)))
    net.feeds["x"] = net.rng.integers(0, 256, (1, 3, 6, 6)).astype(np.uint8)
    pooled = net.node("MaxPool", ["x"], kernel_shape=[2, 2])
    x = net.node("DequantizeLinear", [pooled, *net.parameters(0.04, 100)])
    y = net.node("Conv", [x, net.weights((4, 3, 3, 3))])
    graph = compare(net, [net.quantise(y)], tmp_path)
    assert graph.tensors["x"] == Tensor(
        "x", (1, 6, 6, 3), float(np.float32(0.04)), -28, 128, (0, 2, 3, 1)
    )


def test_symbolic_batch_is_one(tmp_path):
    net = Net()
    y = net.quantise(net.node("Conv", [net.real((1, 3, 6, 6)), net.weights((4, 3, 3, 3))]))
    model = net.integer_model([y])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    graph = compare(net, [y], tmp_path, model=model)
    assert graph.tensors["x0"].shape == (1, 6, 6, 3)


def test_names_are_readable_and_unique(tmp_path):
    net = Net()
    x = net.real((1, 300))
    q = [net.quantise(net.node(op, [x])) for op in ("Sigmoid", "Tanh")]
    for node in net.nodes:
        node.name = f"model/head;{node.op_type}" if node.op_type in ("Sigmoid", "Tanh") else ""
    graph = compare(net, q, tmp_path)
    assert [task.name for task in graph.tasks] == ["model_head", "model_head_2"]
    assert graph.outputs == tuple(q)


def test_one_activation_read_with_two_scales_counts_with_both(tmp_path):
    net = Net()
    x = net.integers((1, 60))
    a = net.node("DequantizeLinear", [x[0], *net.parameters(0.01, -9)])
    y = net.node("Gemm", [net.node("DequantizeLinear", x), net.weights((60, 60))])
    z = net.node("Gemm", [a, net.weights((60, 60))])
    outputs = [net.quantise(v) for v in (net.node("Neg", [a]), y, z)]
    compare(net, outputs, tmp_path)


# Networks


def test_digits_int8_predicts_what_the_float_model_does():
    graph = frontend.load(DATA / "digits_int8.onnx")
    with np.load(DATA / "digits_test.npz") as file:
        images, labels, reference = (file[k] for k in ("images", "labels", "float_predictions"))
    (image,), (probabilities,) = graph.inputs, graph.outputs
    found = [
        golden.run(graph, {image: held(graph.tensors[image], x[None])})[probabilities].argmax()
        for x in images
    ]
    assert np.mean(reference == labels) >= 0.97
    assert np.mean(np.array(found) == labels) >= np.mean(reference == labels) - 0.01


@pytest.mark.parametrize("fmt", ["qdq", "qoperator"])
def test_every_task_of_resnet8_agrees_with_onnx_runtime(fmt, tmp_path):
    """Each task gets ONNX Runtime's own operands, so that single steps do not add up."""
    source = model_path("mlperf_tiny/resnet8/resnet8_float.onnx")
    files = sorted(source.parent.glob("quant_*.dat"))
    images = np.stack([np.fromfile(f, np.int8).reshape(1, 32, 32, 3) for f in files])
    images = (images.astype(np.float32) + 128).transpose(0, 1, 4, 2, 3)
    path = tmp_path / "resnet8.onnx"
    quantise(source, {"input_1": images}, path, fmt=fmt)
    graph = frontend.load(path)
    model = onnx.load(path)
    integers = integer_results(model)
    for name in sorted(set(integers.values())):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.INT8, None))
    reference = session(model)
    labels = [*("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")]
    correct = 0
    for file, image in zip(files, images, strict=True):
        x = held(graph.tensors["input_1"], image)
        answer = golden.run(graph, {"input_1": x})[graph.outputs[0]]
        correct += labels[answer.argmax()] == file.stem.removeprefix("quant_")
        names = [output.name for output in reference.get_outputs()]
        expected = dict(zip(names, reference.run(names, {"input_1": image}), strict=True))
        known = {"input_1": x}
        for task in graph.tasks:
            result = golden.run_task(graph, task, [known[name] for name in task.inputs])
            known[task.output] = result
            if task.name in integers:
                want = expected[integers[task.name]]
                want = want.transpose(0, 2, 3, 1) if want.ndim == 4 else want
                error = np.abs(result.astype(int) - want.reshape(result.shape))
                assert error.max() <= 1, task.name
                known[task.output] = want.reshape(result.shape)
    assert graph.macs() - sum(t.macs(graph) for t in graph.tasks if "pool" in t.name) == 12_501_632
    assert correct == 10


def integer_results(model: onnx.ModelProto) -> dict[str, str]:
    """The quantised tensor that each node of the file makes, by the name of the graph's task."""
    quantised = {n.input[0]: n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    made = {}
    for node in model.graph.node:
        if node.op_type.startswith(("QLinear", "QGemm")):
            made[onnx_file.identifier(node.name)] = node.output[0]
        elif node.output[0] in quantised and node.op_type != "Softmax":
            made[onnx_file.identifier(node.name)] = quantised[node.output[0]]
    return made


def test_one_slope_for_all_channels_is_a_table(tmp_path):
    net = Net()
    y = net.node("PRelu", [net.real((1, 300)), net.constant([0.3], np.float32)])
    assert kinds(compare(net, [net.quantise(y)], tmp_path)) == ["lookup"]


def test_quantised_product_with_a_number_is_a_table(tmp_path):
    net = Net()
    x = net.integers((1, 300))
    y = net.node("Mul", [net.node("DequantizeLinear", x), net.constant(0.7, np.float32)])
    scale, zero = net.calibrated(y)
    del net.nodes[1:]
    factor = [net.constant(100, "int8"), *net.parameters(0.007, 0)]
    inputs = [*x, *factor, *net.parameters(scale, zero)]
    q = net.node("QLinearMul", inputs, domain=MICROSOFT)
    assert kinds(compare(net, [q], tmp_path)) == ["lookup"]
