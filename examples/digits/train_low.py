"""Train a sparse digits network of few bits, and its int8 sister, for the unrolled flow.

A perceptron of three layers learns scikit-learn's 8x8 handwritten digits: weights of 4 bits, of
which 80 % are zero, and activations of 4 bits, quantised while it trains (straight-through
gradients), written as QONNX. The same layers, dense and in float, become int8 by the project's own
quantiser. NumPy only, and seeded, so that it gives the same files again.

Run from the repository's root: ``python examples/digits/train_low.py``.
"""

import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gen.quantise_onnx import quantise  # noqa: E402

SIZES = (64, 64, 64, 10)
EPOCHS, BATCH = 240, 64
WEIGHT_BITS, BITS, OUTPUT_BITS = 4, 4, 6
SPARSITY = 0.8


@dataclass
class Perceptron:
    """Weights (inputs, outputs) and biases of each layer; ``low`` if it is sparse and of few bits.

    ``scales`` are those of the layers' outputs.
    """

    low: bool
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    masks: list[np.ndarray]
    scales: list[float] = field(default_factory=list)

    @staticmethod
    def random(low: bool, rng: np.random.Generator) -> "Perceptron":
        shapes = list(pairwise(SIZES))
        weights = [rng.normal(0, np.sqrt(2 / n), (n, m)) for n, m in shapes]
        return Perceptron(
            low, weights, [np.zeros(m) for _, m in shapes], [np.ones(s) for s in shapes]
        )

    def held(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights of layer ``k`` as they count, and the scale of each column."""
        w = self.weights[k] * self.masks[k]
        if not self.low:
            return w, np.ones((1, w.shape[1]))
        limit = (1 << (WEIGHT_BITS - 1)) - 1
        scale = np.maximum(np.abs(w).max(axis=0, keepdims=True), 1e-6) / limit
        return np.clip(np.rint(w / scale), -limit, limit) * scale, scale

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        """What each layer gets, and the logits."""
        values = [x]
        for k, bias in enumerate(self.biases):
            y = values[-1] @ self.held(k)[0] + bias
            if k + 1 < len(self.biases):
                y = np.maximum(y, 0)
                if self.low and self.scales:
                    s = self.scales[k]
                    y = np.clip(np.rint(y / s), 0, (1 << BITS) - 1) * s
            values.append(y)
        return values

    def gradients(self, x: np.ndarray, labels: np.ndarray) -> tuple[list, list]:
        """Of the cross entropy, smoothed; roundings count as identities."""
        values = self.forward(x)
        logits = values[-1] - values[-1].max(axis=1, keepdims=True)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        wanted = np.full(p.shape, 0.05 / p.shape[1])
        wanted[np.arange(len(labels)), labels] += 0.95
        back = (p - wanted) / len(labels)
        weights, biases = [], []
        for k in range(len(self.weights) - 1, -1, -1):
            weights.append(values[k].T @ back * self.masks[k])
            biases.append(back.sum(axis=0))
            if k:
                passes = values[k] > 0
                if self.low and self.scales:
                    passes &= values[k] < self.scales[k - 1] * ((1 << BITS) - 1)
                back = (back @ self.held(k)[0].T) * passes
        return weights[::-1], biases[::-1]

    def calibrate(self, x: np.ndarray) -> None:
        """Scales under which next to nothing saturates."""
        self.scales = []
        for y in self.forward(x)[1:]:
            top, limit = np.quantile(np.abs(y), 0.999), (1 << BITS) - 1
            if y.shape[1] == SIZES[-1]:
                limit = (1 << (OUTPUT_BITS - 1)) - 1
            self.scales.append(float(2.0 ** np.round(np.log2(top / limit))))

    def prune(self, share: float) -> None:
        """Forget the smallest ``share`` of each layer's weights."""
        for k, w in enumerate(self.weights):
            smallest = np.argsort(np.abs(w * self.masks[k]), axis=None)[: round(share * w.size)]
            self.masks[k] = np.ones(w.size)
            self.masks[k][smallest] = 0
            self.masks[k] = self.masks[k].reshape(w.shape)


def train(low: bool, images: np.ndarray, labels: np.ndarray) -> Perceptron:
    """Adam with a falling rate, on images (N, 8, 8) shifted by up to one pixel."""
    rng = np.random.default_rng(0)
    model = Perceptron.random(low, rng)
    parts = [*model.weights, *model.biases]
    first, second = [np.zeros_like(p) for p in parts], [np.zeros_like(p) for p in parts]
    step = 0
    for epoch in range(EPOCHS):
        # Dense and in float first; then zeros grow, cubically; then few bits.
        if low and EPOCHS // 6 <= epoch <= EPOCHS // 2:
            done = (epoch - EPOCHS // 6) / (EPOCHS // 2 - EPOCHS // 6)
            model.prune(SPARSITY * (1 - (1 - done) ** 3))
        if low and epoch == EPOCHS // 2:
            model.calibrate(images.reshape(len(images), -1))
        rate = 3e-3 * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2 + 1e-5
        for batch in np.array_split(rng.permutation(len(images)), len(images) // BATCH):
            moved = np.roll(images[batch], rng.integers(-1, 2, 2), (1, 2))
            step += 1
            found = model.gradients(moved.reshape(len(batch), -1), labels[batch])
            for p, g, a, b in zip(parts, (*found[0], *found[1]), first, second, strict=True):
                a += 0.1 * (g - a)
                b += 0.001 * (g * g - b)
                p -= rate * (a / (1 - 0.9**step)) / (np.sqrt(b / (1 - 0.999**step)) + 1e-8)
                p *= 1 - 1e-5
    if not low:
        model.calibrate(images.reshape(len(images), -1))
    return model


def qonnx(model: Perceptron) -> onnx.ModelProto:
    """The network with Quant nodes; its input ``image`` is (1, 64), pixels from 0 to 15."""
    nodes, constants = [], []

    def constant(value: object, name: str) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def quant(x: str, y: str, scale: object, bits: int, signed: int) -> str:
        named = {"scale": scale, "zero": 0, "bits": bits}
        given = [constant(value, f"{y}_{name}") for name, value in named.items()]
        nodes.append(
            helper.make_node(
                "Quant", [x, *given], [y], f"{y}_quant", domain="qonnx.custom_op.general",
                signed=signed, narrow=int(signed), rounding_mode="ROUND",
            )
        )  # fmt: skip
        return y

    x = quant("image", "pixels", 1 / 16, BITS, 0)
    last = len(model.weights) - 1
    for k, bias in enumerate(model.biases):
        w, scale = model.held(k)
        w = quant(constant(w, f"w{k}"), f"weights{k}", scale, WEIGHT_BITS, 1)
        nodes.append(helper.make_node("MatMul", [x, w], [f"sum{k}"], f"layer{k}"))
        nodes.append(helper.make_node("Add", [f"sum{k}", constant(bias, f"b{k}")], [f"biased{k}"]))
        if k == last:
            quant(f"biased{k}", "logits", model.scales[k], OUTPUT_BITS, 1)
        else:
            nodes.append(helper.make_node("Relu", [f"biased{k}"], [f"relu{k}"]))
            x = quant(f"relu{k}", f"hidden{k}", model.scales[k], BITS, 0)
    return _model(nodes, constants, [helper.make_opsetid("qonnx.custom_op.general", 1)])


def float_onnx(model: Perceptron) -> onnx.ModelProto:
    """The same layers in float."""
    nodes, constants, x = [], [], "image"
    last = len(model.weights) - 1
    for k, (w, bias) in enumerate(zip(model.weights, model.biases, strict=True)):
        for value, name in ((w.T, f"w{k}"), (bias, f"b{k}")):
            constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        y = "logits" if k == last else f"sum{k}"
        nodes.append(helper.make_node("Gemm", [x, f"w{k}", f"b{k}"], [y], f"layer{k}", transB=1))
        if k < last:
            x = f"relu{k}"
            nodes.append(helper.make_node("Relu", [y], [x], f"relu_{k}"))
    return _model(nodes, constants, [])


def _model(nodes: list, constants: list, domains: list) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), *domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def main() -> None:
    digits = load_digits()
    images = np.minimum(digits.images, 15) / 16
    labels = digits.target.astype(np.int64)
    kept, held_out = train_test_split(
        np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0
    )
    folder = ROOT / "intarsia" / "data"
    for low in (True, False):
        model = train(low, images[kept], labels[kept])
        said = model.forward(images[held_out].reshape(len(held_out), -1))[-1].argmax(axis=1)
        zeros = np.mean(np.concatenate([model.held(k)[0].ravel() for k in range(3)]) == 0)
        kind = f"{WEIGHT_BITS} bits, {zeros:.1%} zeros" if low else "float"
        print(f"{kind}: accuracy {np.mean(said == labels[held_out]):.4f}, scales {model.scales}")
        if low:
            onnx.save(qonnx(model), folder / "digits_4bit.onnx")
            continue
        float_path = ROOT / "examples" / "digits" / "digits_mlp_float.onnx"
        onnx.save(float_onnx(model), float_path)
        samples = images[kept].reshape(len(kept), -1).astype(np.float32)
        quantise(float_path, {"image": samples}, folder / "digits_mlp_int8.onnx")


if __name__ == "__main__":
    main()
