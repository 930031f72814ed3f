"""Four one-channel 3 x 3 convolutions of a 224 x 224 image, up twice and down twice."""

import numpy as np

from .network import Kernel, Network, size

__all__ = ["build"]

SIDE = {"full": 224, "small": 20}


def build(scale: str = "full", seed: int = 0) -> Kernel:
    """Each convolution is same-padded and rectified; the largest image has 16 times the pixels.

    Kernels are mostly positive, so that no rectified image is empty.
    """
    side = size(SIDE, scale)
    rng = np.random.default_rng(seed)
    net = Network("cnn")
    x = net.input("x", rng.normal(0, 1, (1, side, side, 1)))
    for i, resized in enumerate((net.upsample, net.upsample, net.max_pool, net.max_pool), 1):
        weights = rng.normal(0.15, 0.15, (1, 3, 3, 1))
        x = net.conv(f"conv{i}", x, weights, np.zeros(1), padding=(1, 1, 1, 1), relu=True)
        x = resized(f"{'up' if i < 3 else 'max'}{i}", x)
    return net.finish(x)
