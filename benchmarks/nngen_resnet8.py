"""NNgen's accelerator for the ResNet-8 of MLPerf Tiny on 144 multipliers, as Verilog.

In an environment of its own, ``pip install nngen==1.3.4``, then ``python nngen_resnet8.py FILE``.
Shapes are the model's, weights are random: area and cycles do not depend on them. A 3 x 3
convolution takes 4 input and 4 output channels at once, and a beat of the channel is 16 bytes.
"""

import sys
from pathlib import Path

import nngen
import numpy as np

PARALLEL = 4
SHIFT = 10


def variable(name, shape, kind):
    """A tensor of random values."""
    tensor = nngen.variable(dtype=kind, shape=shape, name=name)
    tensor.set_value(np.random.default_rng(1).integers(-100, 100, shape).astype(np.int64))
    return tensor


def scales(name, outputs):
    """What requantises a sum: 32-bit biases, 16-bit factors, a shift."""
    return {
        "bias": variable(f"b{name}", (outputs,), nngen.int32),
        "scale": variable(f"s{name}", (outputs,), nngen.int16),
        "rshift_out": SHIFT,
        "dtype": nngen.int8,
        "sum_dtype": nngen.int32,
    }


def conv(x, name, outputs, size, stride, function=nngen.relu):
    """A convolution, padded."""
    return nngen.conv2d(
        x,
        variable(f"w{name}", (outputs, size, size, x.shape[3]), nngen.int8),
        strides=(1, stride, stride, 1),
        padding="SAME",
        act_func=function,
        par_ich=PARALLEL,
        par_och=PARALLEL,
        name=name,
        **scales(name, outputs),
    )


def joined(a, b, name):
    """The sum of two branches, rectified."""
    both = nngen.add(a, b, dtype=nngen.int8, par=PARALLEL, name=name)
    return nngen.relu(both, dtype=nngen.int8, par=PARALLEL)


def resnet8():
    """The network's output."""
    x = nngen.placeholder(dtype=nngen.int8, shape=(1, 32, 32, 3), name="x")
    x = conv(x, "c0", 16, 3, 1)
    x = joined(x, conv(conv(x, "c1", 16, 3, 1), "c2", 16, 3, 1, None), "a0")
    for block, outputs in enumerate((32, 64), start=1):
        first, second, short = (f"c{3 * block + n}" for n in range(3))
        main = conv(conv(x, first, outputs, 3, 2), second, outputs, 3, 1, None)
        x = joined(main, conv(x, short, outputs, 1, 2, None), f"a{block}")
    window = (1, 8, 8, 1)
    x = nngen.avg_pool(
        x, window, window, dtype=nngen.int8, sum_dtype=nngen.int32, par=PARALLEL, name="p"
    )
    return nngen.matmul(
        nngen.reshape(x, (1, 64)),
        variable("wf", (10, 64), nngen.int8),
        transposed_b=True,
        par_left_col=PARALLEL,
        name="fc",
        **scales("f", 10),
    )


if __name__ == "__main__":
    made = nngen.to_veriloggen([resnet8()], "nngen", config={"maxi_datawidth": 128}, silent=True)
    Path(sys.argv[1]).write_text(made.to_verilog())
