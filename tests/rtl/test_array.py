import json

import pytest

from rtl.array import Array
from rtl.core import step_layout
from rtl.tile import Tile
from tests.rtl.blocks import bench, config

GEOMETRIES = [
    {"rows": 1, "cols": 4, "depth": 9, "lanes": 4, "maximum": False},
    {"rows": 3, "cols": 6, "depth": 2, "lanes": 2, "weight_bits": 9},
    {"rows": 4, "cols": 2, "depth": 5, "lanes": 1},
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_array(geometry):
    c = config(**geometry)
    layout = {name: field.width for name, field in step_layout(c)}
    sizes = ("rows", "cols", "depth", "lanes", "weight_bits", "patch_words", "weight_words")
    bench(
        Array(c),
        "bench_array",
        7,
        shared=Tile.shared(c),
        step=json.dumps(layout),
        latency=Array.latency(c),
        maximum=int(c.maximum),
        **{name: getattr(c, name) for name in sizes},
    )
