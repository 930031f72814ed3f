import json

import pytest

from gen.exponential import exponential_table
from rtl.group import group_layout
from rtl.product import products
from rtl.softmax import Softmax
from tests.rtl.bench_softmax import SCALES
from tests.rtl.blocks import bench, config


@pytest.mark.parametrize("lanes", [1, 4])
def test_softmax(lanes):
    c = config(lanes=lanes, softmax_groups=8)
    layout = group_layout(lanes, element_bits=8, address_bits=c.address_bits)
    bench(
        Softmax(c),
        "bench_softmax",
        8,
        shared=products(Softmax.PRODUCTS),
        lanes=lanes,
        groups=c.softmax_groups,
        latency_0=Softmax.latency(c, 0),
        latency_1=Softmax.latency(c, 1),
        layout=json.dumps({name: field.width for name, field in layout}),
        tables=json.dumps([exponential_table(*scale).tolist() for scale in SCALES]),
    )
