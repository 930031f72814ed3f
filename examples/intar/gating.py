"""A gated feed-forward layer, batch 32: (SiLU(x up) * (x gate)) down, 4096 to 11008 to 4096."""

import numpy as np

from .network import Kernel, Network, size

__all__ = ["build"]

BATCH_AND_WIDTHS = {"full": (32, 4096, 11008), "small": (16, 64, 176)}


def build(scale: str = "full", seed: int = 0) -> Kernel:
    """Weights are drawn as integers, so that 45 million of them never exist as real numbers."""
    batch, width, hidden = size(BATCH_AND_WIDTHS, scale)
    rng = np.random.default_rng(seed)
    net = Network("gating")

    def product(name: str, x, outputs: int):
        """Weights of deviation 1 / sqrt(inputs), of at most 16 bits."""
        inputs = x.shape[-1]
        bound = np.sqrt(3 / inputs)
        fraction = 15 - int(np.frexp(bound)[1])
        largest = int(bound * 2.0**fraction)
        weights = rng.integers(-largest, largest + 1, (outputs, inputs), dtype=np.int16)
        return net.matmul(name, x, weights.T, fraction_bits=fraction)

    x = net.input("x", rng.normal(0, 1, (batch, width)))
    up, gate = product("up", x, hidden), product("gate", x, hidden)
    h = net.multiply("h", net.silu("silu", up), gate)
    return net.finish(product("y", h, width))
