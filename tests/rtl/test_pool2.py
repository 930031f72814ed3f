# amaranth: UnusedElaboratable=no
import json

import pytest

from rtl.group import group_layout
from rtl.pool2 import Pool2
from tests.rtl.blocks import bench


@pytest.mark.parametrize(
    ("lanes", "element_bits", "strips"), [(2, 8, 1), (8, 8, 4), (2, 16, 5), (6, 16, 2)]
)
def test_pool2(lanes, element_bits, strips):
    layout = group_layout(lanes, element_bits=element_bits, address_bits=9)
    bench(
        Pool2(lanes, element_bits=element_bits, address_bits=9, strips=strips),
        "bench_pool2",
        3,
        lanes=lanes,
        element_bits=element_bits,
        latency=Pool2.LATENCY,
        strips=strips,
        layout=json.dumps({name: field.width for name, field in layout}),
    )


def test_refusals():
    for lanes in (0, 3):
        with pytest.raises(ValueError, match=rf"^lanes must be even and positive, not {lanes}$"):
            Pool2(lanes, element_bits=8, address_bits=9, strips=1)
    with pytest.raises(ValueError, match=r"^element_bits must be 8 or 16, not 32$"):
        Pool2(2, element_bits=32, address_bits=9, strips=1)
    with pytest.raises(ValueError, match=r"^strips must be at least 1, not 0$"):
        Pool2(2, element_bits=8, address_bits=9, strips=0)
