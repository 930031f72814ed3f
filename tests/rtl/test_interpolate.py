# amaranth: UnusedElaboratable=no
import json
import re

import numpy as np
import pytest

from rtl.interpolate import Interpolate, segments
from tests.rtl.blocks import bench

POINTS = np.arange(-(1 << 15), (1 << 15) + 1, 256)
TOP = (1 << 15) - 1


def tables() -> list[list[int]]:
    """Noise, steps from end to end of the range, a sigmoid-weighted line, the identity."""
    noise = np.random.default_rng(5).integers(-TOP - 1, TOP + 1, 257)
    steps = np.where(np.arange(257) % 2, TOP, -TOP - 1)
    real = POINTS / 4096
    silu = np.round(real / (1 + np.exp(-real)) * 4096)
    return [t.astype(int).tolist() for t in (noise, steps, silu, np.minimum(POINTS, TOP))]


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("functions", [1, 3, 4])
def test_interpolate(writable, functions):
    held = tables()[:functions]
    words = [segments(table) for table in held]
    init = [] if writable else [word for table in words for word in table]
    bench(
        Interpolate(functions, init=init, writable=writable),
        "bench_interpolate",
        2,
        writable=int(writable),
        latency=Interpolate.LATENCY,
        tables=json.dumps(held),
        words=json.dumps(words),
    )


def test_refusals():
    with pytest.raises(ValueError, match=r"^functions must be at least 1, not 0$"):
        Interpolate(0)
    with pytest.raises(ValueError, match=r"^init must be at most 256 words, not 257$"):
        Interpolate(1, init=[0] * 257)
    for table, message in (
        ([0] * 256, "table must have 257 values, not 256"),
        ([0] * 256 + [TOP + 1], "table must be of int16 values, not 32768"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            segments(table)
