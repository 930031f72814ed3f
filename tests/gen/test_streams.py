"""Streams: several cores take weights from one channel by turns, each when it needs them."""

from dataclasses import replace
from itertools import groupby

import pytest

from examples.intar import KERNELS
from gen.bound import dataflow_bound
from gen.check import check
from gen.compile import Compiled, compile_graph
from gen.cut import into_parts, stationary
from gen.errors import UserError
from gen.lower import lower
from gen.operation import Geometry
from gen.streams import streaming
from gen.target import Target
from gen.work import Site, Work
from rtl.config import CONSTANTS
from rtl.fetch import WEIGHTS

SCARCE = Target(multipliers=12, onchip_bytes=16 << 10, offchip_bytes_per_cycle=8)


@pytest.fixture(scope="module")
def gating() -> Compiled:
    graph = KERNELS["gating"](scale="small", seed=1).graph
    return compile_graph(graph, SCARCE, policy="dataflow")


def test_three_cores_that_stream_work_at_once(gating):
    busy = [0] * 3
    for phase in gating.schedule.phases:
        op, geometry = phase.operation, gating.schedule.geometry(phase)
        busy[phase.core] += op.passes(geometry) * op.tiles(geometry) * op.words(geometry)
    assert gating.schedule.streamed
    # One after the other, they would take the sum.
    assert max(busy) < gating.prediction.cycles < sum(busy) / 2


def test_their_transfers_take_turns_and_bands_share_what_lies_off_chip(gating):
    fetches = [f for f in gating.schedule.fetches[CONSTANTS] if f.target == WEIGHTS]
    assert len([*groupby(fetches, key=lambda fetch: fetch.core)]) > len(fetches) // 3
    places = {(fetch.offset, fetch.beats) for fetch in fetches}
    moved = sum(fetch.beats for fetch in fetches) * SCARCE.offchip_bytes_per_cycle
    weights = sum(task.weight_bytes(gating.graph) for task in gating.graph.tasks)
    assert len(places) <= len(fetches) // 2
    assert moved >= 2 * weights > gating.schedule.region_bytes[2]


@pytest.mark.parametrize("beat", [4, 8])
def test_no_dataflow_that_streams_is_quicker_than_its_bound(gating, beat):
    target = replace(SCARCE, offchip_bytes_per_cycle=beat)
    compiled = compile_graph(gating.graph, target, policy="dataflow")
    config = compiled.machine.config
    bound = dataflow_bound(gating.graph, target, config)
    assert bound <= compiled.prediction.cycles
    # Where weights come for every band, bands are fewer and higher, and the last core waits longer.
    enough = dataflow_bound(gating.graph, replace(target, onchip_bytes=4 << 20), config)
    assert enough < bound


def test_its_schedule_keeps_the_rules_and_one_that_adds_too_early_does_not(gating):
    check(gating.schedule)
    phases = list(gating.schedule.phases)
    index = next(i for i, phase in enumerate(phases) if phase.residual is not None)
    tokens = phases[index].epilogue
    early = replace(tokens, stored=tuple(max(0, n - 1) for n in tokens.stored))
    phases[index] = replace(phases[index], epilogue=early)
    with pytest.raises(UserError, match="adds 'silu' before it is there"):
        check(replace(gating.schedule, phases=tuple(phases)))


def _products(geometry: Geometry) -> Work:
    lowered = lower(KERNELS["gating"](scale="small", seed=1).graph, geometry)
    chosen = tuple((op, core) for core, op in enumerate(lowered.operations))
    return Work(chosen, lowered.storages, (Site(geometry, 16),) * len(chosen))


@pytest.mark.parametrize("cols", [1, 3, 4])
def test_parts_make_all_outputs_once_and_share_no_word(cols):
    geometry = Geometry(1, cols, 4, 1, 2)
    for op, _ in _products(geometry).operations:
        op = stationary(op, geometry)
        free = 2 * 40 * op.words(geometry)
        parts = into_parts(op, geometry, free, 64)
        assert all(p.passes(geometry) * p.words(geometry) <= free // 2 for p in parts)
        assert sum(part.outputs for part in parts) == op.outputs
        ends = [part.sink.offset - op.sink.offset for part in parts]
        assert ends == [sum(p.outputs for p in parts[:n]) for n in range(len(parts))]
        assert all(end % 32 == 0 for end in ends)
        assert all(part.window.repeats == part.passes(geometry) for part in parts)


def test_each_core_keeps_its_order_and_what_is_read_comes_first():
    work = _products(Geometry(1, 1, 4, 1, 2))
    streamed = streaming(work, [400] * 3, 32, 8)
    for core in range(3):
        outputs = [op.sink.offset for op in streamed.of(core)]
        assert outputs == sorted(outputs)
        assert len(outputs) > 1
    cores = [core for _, core in streamed.operations]
    # The gate follows as soon as a part of its second operand is there; the last product waits.
    assert cores.index(1) < len(cores) - 1 - cores[::-1].index(0)
    assert cores.index(2) > len(cores) - 1 - cores[::-1].index(1)


def test_too_little_memory_for_weights_names_the_task():
    work = _products(Geometry(1, 1, 1, 1, 2))
    many = replace(work, operations=work.operations * 20)
    with pytest.raises(UserError, match=r"task '\w+' has 70 words for its weights"):
        streaming(many, [70] * 3, 64, 8)
