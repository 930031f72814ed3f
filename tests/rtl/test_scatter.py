import pytest

from rtl.config import Config
from rtl.scatter import Scatter
from rtl.words import word_fields
from tests.rtl.bench_scatter import words
from tests.rtl.blocks import bench, config, stored

SEED = 6


def machine(rows: int, groups: int, lanes: int) -> Config:
    return config(rows=rows, cols=groups * lanes, lanes=lanes)


def packed(sizes: tuple[int, int, int]) -> list[int]:
    fields = word_fields(machine(*sizes))["epilogue"]
    return [stored(fields, word) for word in words(SEED, *sizes[:2])]


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 2, 2), (4, 1, 3)])
def test_scatter(sizes):
    c = machine(*sizes)
    rows, groups, lanes = sizes
    component = Scatter(c, word_fields(c)["epilogue"])
    bench(component, "bench_scatter", SEED, words=SEED, rows=rows, groups=groups, lanes=lanes)
