"""Self-attention with one head: 256 tokens, 1024 wide, scores divided by 32."""

import numpy as np

from .network import Kernel, Network, size

__all__ = ["build"]

TOKENS_AND_WIDTH = {"full": (256, 1024), "small": (96, 64)}


def build(scale: str = "full", seed: int = 0) -> Kernel:
    """``softmax(Q K^T / sqrt(width)) V`` with ``Q, K, V = X Wq, X Wk, X Wv``.

    Scores have a deviation of about 2, so that the softmax is neither flat nor a single one. Their
    division is in the fraction bits.
    """
    tokens, width = size(TOKENS_AND_WIDTH, scale)
    rng = np.random.default_rng(seed)
    net = Network("attention")
    x = net.input("x", rng.normal(0, 1, (tokens, width)))

    def projected(name: str, deviation: float):
        weights = rng.normal(0, deviation / np.sqrt(width), (width, width))
        return net.matmul(name, x, weights)

    q, k, v = projected("q", np.sqrt(2)), projected("k", np.sqrt(2)), projected("v", 1)
    scores = net.dot("scores", q, k, transpose_b=True, factor=width**-0.5)
    p = net.softmax_rows("p", scores)
    return net.finish(net.dot("y", p, v))
