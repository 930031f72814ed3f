from rtl.exponential import Exponential
from tests.rtl.blocks import bench


def test_exponential():
    bench(
        Exponential(),
        "bench_exponential",
        7,
        latency=Exponential.LATENCY,
        fraction=Exponential.FRACTION,
    )
