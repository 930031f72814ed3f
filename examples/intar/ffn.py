"""A feed-forward network of three layers, 256 to 1024 to 2048 to 256, batch 1, ReLU after each."""

from itertools import pairwise

import numpy as np

from .network import Kernel, Network, size

__all__ = ["build"]

WIDTHS = {"full": (256, 1024, 2048, 256), "small": (64, 128, 256, 64)}


def build(scale: str = "full", seed: int = 0) -> Kernel:
    """Weights keep activations of size 1, and more than half of them above zero."""
    widths = size(WIDTHS, scale)
    rng = np.random.default_rng(seed)
    net = Network("ffn")
    x = net.input("x", rng.normal(0, 1, (1, widths[0])))
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        weights = rng.normal(0.5 / inputs, np.sqrt(2 / inputs), (inputs, outputs))
        x = net.matmul(f"f{i + 1}", x, weights, relu=True)
    return net.finish(x)
