import pytest

from rtl.config import Pattern
from rtl.windows import Windows
from tests.rtl.blocks import bench, config

PATTERNS = (
    # two pixels of three channels, both strides; and their two outputs a channel
    Pattern(1, 3, 3, 3, 3, channels=3),
    Pattern(1, 6, 3, 3, 3, channels=3),
    Pattern(2, 0, 2, 3, 3, channels=3),
    # few channels: a line in one step, or in two
    Pattern(3, 4, 6),
    Pattern(2, 2, 4, lines=2),
    Pattern(2, 2, 4, lines=2, start=4),
)


def test_patterns_place_what_their_docstring_says():
    two_pixels = Pattern(1, 6, 3, 3, 3, channels=3)
    assert two_pixels.place(0, 0) == (0, 0)
    assert two_pixels.place(2, 1) == (0, 5)
    assert two_pixels.place(4, 8) == (2, 13)
    assert two_pixels.place(4, 9) is None
    assert Pattern(3, 4, 6, start=2).place(5, 1) == (0, 7)


@pytest.mark.parametrize("element_bytes", [1, 2])
def test_windows(element_bytes):
    c = config(
        rows=1, cols=6, depth=9, lanes=6, word_bytes=16, patterns=PATTERNS, segment=15,
        element_bytes=element_bytes,
    )  # fmt: skip
    sizes = {name: getattr(c, name) for name in ("cols", "depth", "segment", "element_bits")}
    bench(Windows(c), "bench_windows", 3, ring=c.patch_words, **sizes)
