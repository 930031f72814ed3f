"""A variational autoencoder of 2 x 28 x 28: valid convolutions 8 x 8 and 4 x 4, and back."""

import numpy as np

from .network import Kernel, Network, size

__all__ = ["build"]

SIDE_AND_KERNELS = {"full": (28, (8, 4)), "small": (16, (4, 3))}
CHANNELS = 2


def build(scale: str = "full", seed: int = 0) -> Kernel:
    """The second convolution gives mu and logvar; two maps of eps are one input.

    Two latent images ``mu + exp(logvar / 2) * eps`` are decoded by transposed convolutions. They
    have the format of mu; logvar is about -1.5, so that its range suffices.
    """
    side, kernels = size(SIDE_AND_KERNELS, scale)
    rng = np.random.default_rng(seed)
    net = Network("vae")

    def weights(kernel: int, deviation: float = 1.0) -> np.ndarray:
        taps = kernel * kernel * CHANNELS
        return rng.normal(0, deviation / np.sqrt(taps), (CHANNELS, kernel, kernel, CHANNELS))

    x = net.input("x", rng.normal(0, 1, (1, side, side, CHANNELS)))
    h = net.conv("encode1", x, weights(kernels[0]), np.zeros(CHANNELS))
    h = net.conv("encode2", h, weights(kernels[1], 0.5), np.array([0.0, -1.5]))
    mu, logvar = net.channel("mu", h, 0), net.channel("logvar", h, 1)
    eps = net.input("eps", rng.normal(0, 1, (*h.shape[:3], CHANNELS)))
    z = net.sample("z", mu, logvar, eps)
    y = net.conv_transpose("decode1", z, weights(kernels[0]))
    return net.finish(net.conv_transpose("decode2", y, weights(kernels[1])))
