"""MobileNet-v1 of width 0.25 in int8, 96 x 96 x 3 to two classes: 7,489,664 multiplications."""

import numpy as np

from .network import Kernel, Network, size

__all__ = ["build"]

SIDE_AND_WIDTH = {"full": (96, 8), "small": (64, 4)}
"""Of the input, and channels after the first convolution."""

BLOCKS = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *((16, 1),) * 5, (32, 2), (32, 1))
"""Channels, as multiples of the first convolution's, and stride of the depthwise-separable ones."""

CLASSES = 2


def build(scale: str = "full", seed: int = 0) -> Kernel:
    """Every convolution has channels of different size, and one scale for each, and ReLU.

    Depthwise kernels are mostly positive, so that few channels are empty.
    """
    side, width = size(SIDE_AND_WIDTH, scale)
    rng = np.random.default_rng(seed)
    net = Network("mobilenet", bits=8)

    def conv(name: str, x, outputs: int, kernel: int, stride: int = 1, depthwise: bool = False):
        inputs = 1 if depthwise else x.shape[3]
        weights = rng.normal(float(depthwise), 1, (outputs, kernel, kernel, inputs))
        weights *= rng.uniform(0.5, 1.5, (outputs, 1, 1, 1))
        # As TensorFlow's SAME for even sizes: at stride 2 the border is below and to the right.
        padding = (0, 0, 0, 0) if kernel == 1 else (2 - stride, 1, 2 - stride, 1)
        return net.conv(
            name, x, weights, rng.normal(0, 0.2, outputs), stride=stride, padding=padding,
            depthwise=depthwise, relu=True, normalise=True,
        )  # fmt: skip

    x = net.input("x", rng.uniform(-1, 1, (1, side, side, 3)))
    x = conv("conv", x, width, 3, stride=2)
    for i, (multiple, stride) in enumerate(BLOCKS, 1):
        x = conv(f"depthwise{i}", x, x.shape[3], 3, stride=stride, depthwise=True)
        x = conv(f"pointwise{i}", x, multiple * width, 1)
    x = net.mean("mean", x)
    return net.finish(net.matmul("y", x, rng.normal(0, 1 / 16, (x.shape[1], CLASSES))))
