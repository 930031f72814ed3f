"""Timing: what is not walked tile by tile takes as long as if it were."""

from dataclasses import replace

import pytest

from examples.intar import KERNELS
from gen import timing
from gen.compile import compile_graph
from gen.series import Series
from gen.target import Target
from gen.timing import predict

TARGET = Target(multipliers=32, onchip_bytes=64 << 10, offchip_bytes_per_cycle=16)


@pytest.mark.parametrize("policy", ["sequential", "dataflow"])
@pytest.mark.parametrize("name", ["ffn", "cnn", "gating"])
def test_repeated_tiles_are_exact(name: str, policy: str, monkeypatch: pytest.MonkeyPatch):
    graph = KERNELS[name]("small", 1).graph
    target = replace(TARGET, multipliers=96 if name == "cnn" else 32)
    made = compile_graph(graph, target, policy=policy)
    config, found = made.machine.config, []
    for least in (0, 1 << 30):
        monkeypatch.setattr(timing, "REPEATED", least)
        found.append(predict(made.schedule, config))
    assert found[0] == found[1] == made.prediction


def test_series_holds_what_it_is_given():
    series, every = Series(), []
    for first, count, step in ((3, 1, 1), (10, 1, 1), (17, 1, 1), (20, 4, 2), (30, 1, 1)):
        series.extend(first, count, step)
        every += range(first, first + count * step, step)
    assert [series[i] for i in range(len(series))] == every
    assert series.last == every[-1]
    assert len(series.counts) < len(every)


@pytest.mark.parametrize(("runs", "since"), [([(5, 1, 1)], 0), ([(5, 4, 1), (11, 2, 3)], 2)])
def test_series_repeats(runs: list[tuple[int, int, int]], since: int):
    series, every = Series(), []
    for first, count, step in runs:
        series.extend(first, count, step)
        every += range(first, first + count * step, step)
    series.repeat(since, 3, 20)
    every += [at + n * 20 for n in (1, 2, 3) for at in every[since:]]
    assert [series[i] for i in range(len(series))] == every
