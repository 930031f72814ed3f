"""InTAR's five kernels in int16, and an int8 MobileNet, as task graphs with seeded data.

>>> from examples.intar import KERNELS
>>> sorted(KERNELS)
['attention', 'cnn', 'ffn', 'gating', 'mobilenet', 'vae']
>>> kernel = KERNELS["ffn"](scale="small", seed=1)
>>> kernel.graph.macs()
57344

``scale`` is ``"full"`` for the published shapes or ``"small"`` for the same structure in little
time. Formats are calibrated with the seeded data; see :mod:`examples.intar.network`.
"""

from collections.abc import Callable

from . import attention, cnn, ffn, gating, mobilenet, vae
from .network import Kernel

__all__ = ["KERNELS", "Kernel"]

KERNELS: dict[str, Callable[..., Kernel]] = {
    "attention": attention.build,
    "ffn": ffn.build,
    "cnn": cnn.build,
    "vae": vae.build,
    "gating": gating.build,
    "mobilenet": mobilenet.build,
}
"""``build(scale, seed)`` by the name of the kernel."""
