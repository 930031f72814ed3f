"""QONNX models against the QONNX package's own execution, bit by bit where scales are exact."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from gen.errors import UserError
from gen.graph import Graph
from sim import golden

from ..onnx_models import Net, held, load

DOMAIN = "qonnx.custom_op.general"
core = pytest.importorskip("qonnx.core.modelwrapper", reason="needs qonnx, the reference")


@pytest.fixture(autouse=True)
def _readable(monkeypatch):
    """The package wraps single nodes in models of onnx's newest version, which its runtime may not
    know yet."""
    monkeypatch.setattr("onnx.IR_VERSION", 10)


class QNet(Net):
    """A QONNX model under construction, of version ``domain`` of its operators."""

    domain = 2

    def quant(self, x: str, scale: Any, bits: int, zero: float = 0, **attributes: Any) -> str:
        given = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
        parameters = [self.constant(value, np.float32) for value in (scale, zero, bits)]
        return self.node("Quant", [x, *parameters], domain=DOMAIN, **given)

    def sign(self, x: str, scale: float) -> str:
        given = [x, self.constant(scale, np.float32)]
        return self.node("BipolarQuant", given, domain=DOMAIN)

    def floats(self, shape: tuple[int, ...], spread: float = 1.0) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.feeds[name] = self.rng.normal(0, spread, shape).astype(np.float32)
        return name

    def drawn(self, *shape: int) -> str:
        return self.constant(self.rng.normal(0, 0.5, shape), np.float32)

    def model(self, outputs: list[str], kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        made = super().model(outputs, kind)
        made.opset_import.append(helper.make_opsetid(DOMAIN, self.domain))
        return made


def agree(net: QNet, y: str, folder: Path, steps: int = 0) -> Graph:
    """Loads the net, whose output is ``y``, and compares golden with the package."""
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = net.model([y])
    graph = load(model, folder)
    wrapped = core.ModelWrapper(model).transform(InferShapes())
    expected = execute_onnx(wrapped, net.feeds)[y].astype(np.float32)
    inputs = {name: held(graph.tensors[name], net.feeds[name]) for name in graph.inputs}
    found = golden.run(graph, inputs)[y]
    wanted = held(graph.tensors[y], expected)
    error = np.abs(found.astype(int) - wanted.astype(int))
    assert error.max() <= steps, f"{error.max()} steps, {(error > 0).mean():.1%} differ"
    assert len(np.unique(found)) > 1, "the test must exercise the output's range"
    return graph


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("signed", [0, 1])
def test_products_of_every_width_agree(bits, signed, tmp_path):
    net = QNet(seed=bits)
    x = net.quant(net.floats((1, 24)), 1 / 16, 8)
    w = net.quant(net.drawn(24, 12), 1 / 8, max(bits, 2), narrow=1)
    y = net.node("Relu", [net.node("MatMul", [x, w])]) if not signed else None
    y = net.quant(y or net.node("MatMul", [x, w]), 1 / 4, bits, signed=signed)
    graph = agree(net, y, tmp_path)
    if bits == 1 and signed:
        return
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    offset = graph.tensors[y].offset
    assert graph.tasks[-1].clamp == (low - offset, high - offset)


def test_a_convolution_with_batch_normalisation_and_scales_per_channel_agrees(tmp_path):
    net = QNet(seed=2)
    x = net.quant(net.floats((1, 3, 7, 7)), 0.07, 4, signed=0)
    scales = net.rng.uniform(0.05, 0.3, (5, 1, 1, 1))
    w = net.quant(net.drawn(5, 3, 3, 3), scales, 3, narrow=1)
    y = net.node("Conv", [x, w], pads=[1, 1, 1, 1])
    statistics = [net.constant(net.rng.uniform(0.5, 2, 5), np.float32) for _ in range(4)]
    y = net.node("BatchNormalization", [y, *statistics])
    y = net.quant(net.node("Relu", [y]), 0.11, 4, signed=0)
    agree(net, y, tmp_path, steps=1)


def test_bipolar_weights_and_activations_agree(tmp_path):
    net = QNet(seed=3)
    x = net.sign(net.quant(net.floats((1, 40)), 1 / 64, 8), 1.0)
    y = net.node("MatMul", [x, net.sign(net.drawn(40, 16), 0.25)])
    y = net.sign(net.node("Add", [y, net.drawn(16)]), 0.5)
    y = net.quant(net.node("MatMul", [y, net.sign(net.drawn(16, 6), 1.0)]), 0.5, 6)
    agree(net, y, tmp_path)


@pytest.mark.parametrize("newer", [False, True])
def test_truncation_of_integers_agrees(newer, tmp_path):
    net = QNet(seed=4)
    net.domain = 2 if newer else 1
    x = net.quant(net.floats((1, 64), 4.0), 1 / 8, 8)
    widths = [net.constant(v, np.float32) for v in (1 / 8, 0.0, 8.0)]
    last = [net.constant(v, np.float32) for v in ((1.0, 5.0) if newer else (5.0,))]
    options = {"signed": 1, "narrow": 0} if newer else {}
    y = net.node("Trunc", [x, *widths, *last], domain=DOMAIN, rounding_mode="FLOOR", **options)
    agree(net, y, tmp_path)


@pytest.mark.parametrize("mode", ["FLOOR", "CEIL", "DOWN", "HALF_UP"])
def test_other_roundings_of_functions_agree(mode, tmp_path):
    net = QNet(seed=5)
    x = net.quant(net.floats((1, 64), 4.0), 1 / 8, 8)
    y = net.quant(net.node("Tanh", [x]), 1 / 7, 4, rounding_mode=mode)
    agree(net, y, tmp_path)


@pytest.mark.parametrize(
    ("bits", "zero", "mode", "words"),
    [
        (9, 0, "ROUND", "bit width must be from 1 to 8, not 9"),
        (0.5, 0, "ROUND", "bit width must be from 1 to 8, not 0.5"),
        (4, 0.5, "ROUND", "zero point must be an integer from -8 to 7, not 0.5"),
        (4, 0, "STOCHASTIC", "rounding mode STOCHASTIC is not supported"),
        (4, 0, "FLOOR", "only rounding mode ROUND is supported behind a product"),
    ],
)
def test_what_is_not_supported_is_told_with_the_node(bits, zero, mode, words, tmp_path):
    net = QNet()
    x = net.quant(net.floats((1, 8)), 1 / 8, 8)
    y = net.node("MatMul", [x, net.quant(net.drawn(8, 4), 1 / 8, 4)])
    y = net.quant(y, 1 / 4, bits, zero, rounding_mode=mode)
    with pytest.raises(UserError, match=rf"node 'Quant_.*{words}"):
        load(net.model([y]), tmp_path)


def test_a_scale_that_is_not_positive_is_told(tmp_path):
    net = QNet()
    y = net.quant(net.floats((1, 8)), -1.0, 4)
    with pytest.raises(UserError, match="its scale must be greater than zero"):
        load(net.model([y]), tmp_path)
