import pytest

from rtl.crossbar import Crossbar, readers, writers
from tests.rtl.bench_crossbar import SIZES, WORD
from tests.rtl.blocks import bench, config

ONE = config()


@pytest.mark.parametrize("pruned", [0, 1])
def test_crossbar(pruned):
    ports = [(port, b) for port in (*readers(ONE), *writers(ONE)) for b in range(len(SIZES))]
    without = [("residual", 0), ("send", 1), ("fetch", 2)]
    links = tuple(link for link in ports if link not in without) if pruned else ()
    c = config(buffer_words=tuple(size // WORD for size in SIZES), links=links)
    bench(
        Crossbar(c),
        "bench_crossbar",
        5,
        pruned=pruned,
        latency=Crossbar.READ_LATENCY,
        write_latency=Crossbar.WRITE_LATENCY,
    )
