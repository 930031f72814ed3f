# amaranth: UnusedElaboratable=no
import json

import pytest

from rtl.group import group_layout
from rtl.rowsoftmax import RowSoftmax
from tests.rtl.blocks import bench


@pytest.mark.parametrize(
    ("lanes", "groups", "rows"), [(1, 1, 2), (1, 21, 2), (3, 5, 4), (4, 16, 2), (8, 8, 8)]
)
def test_rowsoftmax(lanes, groups, rows):
    layout = group_layout(lanes, element_bits=16, address_bits=9)
    bench(
        RowSoftmax(lanes, groups=groups, address_bits=9, rows=rows),
        "bench_rowsoftmax",
        6,
        lanes=lanes,
        groups=groups,
        rows=rows,
        latency_0=RowSoftmax.latency(lanes, 0),
        latency_1=RowSoftmax.latency(lanes, 1),
        interval_0=RowSoftmax.interval(lanes, 0),
        interval_1=RowSoftmax.interval(lanes, 1),
        layout=json.dumps({name: field.width for name, field in layout}),
    )


@pytest.mark.parametrize(
    ("lanes", "groups", "rows", "message"),
    [
        (0, 4, 2, "lanes must be at least 1, not 0"),
        (4, 0, 2, "groups must be at least 1, not 0"),
        (4, 4, 3, "rows must be 2, 4, 8 or 16, not 3"),
    ],
)
def test_refusals(lanes, groups, rows, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RowSoftmax(lanes, groups=groups, address_bits=9, rows=rows)
