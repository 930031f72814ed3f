# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "torch==2.13.0",
#     "scikit-learn>=1.5",
#     "onnx>=1.17",
#     "onnxruntime>=1.20",
# ]
# ///
"""Train, export and quantise the digits model that Intarsia bundles.

A residual convolutional network learns scikit-learn's 8x8 handwritten digits, is written as float
ONNX with the training images as calibration data, and becomes int8 ONNX by the project's own
quantiser. Seeded and on one thread, so that it gives the same files again.

Run from the repository's root: ``python examples/digits/train.py``.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gen.quantise_onnx import quantise  # noqa: E402

EPOCHS = 60
BATCH = 64


class Digits(nn.Module):
    """(N, 1, 8, 8) pixels from 0 to 1 to (N, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.body = nn.Conv2d(16, 16, 3, padding=1)
        self.wide = nn.Conv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(32 * 4 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.body(x))
        x = torch.max_pool2d(x, 2)
        x = torch.relu(self.wide(x))
        return self.head(x.flatten(1))


def train(images: np.ndarray, labels: np.ndarray) -> Digits:
    """Adam with a falling learning rate, on images shifted by up to one pixel."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = Digits()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            down, across = (int(n) for n in torch.randint(-1, 2, (2,)))
            shifted = torch.roll(x[batch], (down, across), (2, 3))
            loss = nn.functional.cross_entropy(model(shifted), y[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return model.eval()


def export(model: Digits) -> onnx.ModelProto:
    """The float network with a softmax, as ONNX; its input ``image`` is (1, 1, 8, 8)."""
    constants = [
        numpy_helper.from_array(value.numpy(), name) for name, value in model.state_dict().items()
    ]

    def conv(name: str, source: str) -> onnx.NodeProto:
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        return helper.make_node("Conv", inputs, [f"{name}_sum"], name, pads=[1, 1, 1, 1])

    nodes = [
        conv("stem", "image"),
        helper.make_node("Relu", ["stem_sum"], ["stem_out"], "stem_relu"),
        conv("body", "stem_out"),
        helper.make_node("Add", ["stem_out", "body_sum"], ["residual_sum"], "residual"),
        helper.make_node("Relu", ["residual_sum"], ["residual_out"], "residual_relu"),
        helper.make_node(
            "MaxPool", ["residual_out"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]
        ),
        conv("wide", "pooled"),
        helper.make_node("Relu", ["wide_sum"], ["wide_out"], "wide_relu"),
        helper.make_node("Flatten", ["wide_out"], ["flat"], "flatten"),
        helper.make_node(
            "Gemm", ["flat", "head.weight", "head.bias"], ["logits"], "head", transB=1
        ),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def predictions(path: Path, images: np.ndarray) -> np.ndarray:
    """The digit that ONNX Runtime sees in each image, int64 (N,)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = [session.run(None, {"image": image[None]})[0] for image in images]
    return np.concatenate(outputs).argmax(axis=1)


def main() -> None:
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    kept, held_out = train_test_split(
        np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0
    )
    model = train(images[kept], labels[kept])

    float_path = ROOT / "examples" / "digits" / "digits_float.onnx"
    int8_path = ROOT / "intarsia" / "data" / "digits_int8.onnx"
    onnx.save_model(export(model), float_path)
    quantise(float_path, {"image": images[kept]}, int8_path)

    truth, test = labels[held_out], images[held_out]
    float_digits = predictions(float_path, test)
    print(f"float accuracy {np.mean(float_digits == truth):.4f} of {len(truth)} digits")
    print(f"int8 accuracy  {np.mean(predictions(int8_path, test) == truth):.4f}")
    np.savez_compressed(
        ROOT / "intarsia" / "data" / "digits_test.npz",
        images=test,
        labels=truth,
        float_predictions=float_digits,
    )


if __name__ == "__main__":
    main()
