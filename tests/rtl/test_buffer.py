import pytest

from rtl.buffer import Buffer
from tests.rtl.blocks import bench


@pytest.mark.parametrize(("words", "word_bytes"), [(32, 8), (16, 4), (2, 4)])
def test_buffer(words, word_bytes):
    size = words * word_bytes
    sizes = {
        "bytes": size,
        "word_bytes": word_bytes,
        "latency": Buffer.LATENCY,
        "write_latency": Buffer.WRITE_LATENCY,
    }
    bench(Buffer(words, word_bytes=word_bytes), "bench_buffer", 3, **sizes)
