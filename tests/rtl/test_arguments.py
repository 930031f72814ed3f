# amaranth: UnusedElaboratable=no
"""Arguments that components refuse, and what they say."""

import re
from dataclasses import replace
from types import MappingProxyType

import pytest

from rtl.accelerator import Accelerator, Contents
from rtl.buffer import Buffer
from rtl.memory import Memory
from rtl.sequencer import Sequencer
from rtl.words import Field, Fields
from tests.rtl.blocks import config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Buffer(3, word_bytes=4), "words must be even and positive, not 3"),
        (lambda: Buffer(0, word_bytes=4), "words must be even and positive, not 0"),
        (lambda: Memory(0, depth=4), "width and depth must be at least 1, not 0 and 4"),
        (lambda: Memory(8, depth=0), "width and depth must be at least 1, not 8 and 0"),
        (lambda: Memory(8, depth=2, init=[1, 2, 3]), "init must be at most 2 words, not 3"),
        (lambda: Sequencer(8), "depth of a program RAM must be at least 1, not 0"),
        (
            lambda: Accelerator(config(loadable=False)),
            "contents.programs must name ('gather', 'core', 'epilogue', 'send', 'fetch') "
            "where programs are ROM",
        ),
    ],
)
def test_components(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "rows must be at least 1, not 0"),
        ({"cols": 0}, "cols must be at least 1, not 0"),
        ({"lanes": 0}, "lanes must be at least 1, not 0"),
        ({"bias_words": 0}, "bias_words must be at least 1, not 0"),
        ({"scale_words": 0}, "scale_words must be at least 1, not 0"),
        ({"depth": 0}, "depth must be at least 1, not 0"),
        ({"lanes": 3}, "lanes must divide cols (4), not 3"),
        ({"word_bytes": 6}, "word_bytes must be a power of two of at least 4, not 6"),
        ({"axi_bytes": 2}, "axi_bytes must be a power of two of at least 4, not 2"),
        ({"patch_words": 12}, "patch_words must be a power of two of at least 4, not 12"),
        ({"axi_bytes": 16}, "axi_bytes must be at most word_bytes, not 16"),
        ({"buffer_words": ()}, "buffer_words must be even and positive, not ()"),
        ({"buffer_words": (4, 5)}, "buffer_words must be even and positive, not (4, 5)"),
        ({"cols": 16, "lanes": 16}, "lanes must be at most word_bytes / element_bytes, not 16"),
        ({"weight_bits": 7}, "weight_bits must be 8, 9 or 16, not 7"),
        ({"channels": 3}, "channels must be one of (1, 2), not 3"),
        ({"channels": 2, "streamed": False}, "channels must be 1 where weights stay, not 2"),
    ],
)
def test_config(change, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        config(**change)


def test_a_changed_configuration_is_checked_again():
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        replace(config(), depth=0)


def test_fields():
    fields = Fields(a=Field(3), b=Field(4, signed=True), c=Field(8, constant=5))
    assert fields.pack({"a": 7, "b": -8, "c": 5}) == 7 | 8 << 3
    for word in ({"a": 8, "b": 0, "c": 5}, {"a": 0, "b": 8, "c": 5}, {"a": 0, "b": 0, "c": 4}):
        with pytest.raises(ValueError, match="must admit its value"):
            fields.pack(word)
    with pytest.raises(ValueError, match=r"field c of .* must admit its value, not None"):
        fields.pack({"a": 0, "b": 0})


def test_contents_may_be_any_mapping():
    c = config(loadable=False)
    programs = MappingProxyType({unit: [0] for unit in c.units})
    Accelerator(c, contents=Contents(programs=programs))
