"""Schedules that the scheduler makes are accepted; broken ones are refused, saying where."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from gen.check import check
from gen.compile import compile_graph
from gen.errors import UserError
from gen.frontends import load
from gen.operation import Geometry
from gen.schedule import SPILLS, Schedule
from gen.target import Target
from intarsia.graph import GraphBuilder


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    model = resources.files("intarsia").joinpath("data", "digits_int8.onnx")
    with resources.as_file(model) as path:
        return compile_graph(load(path), Target(64)).schedule


def _phase(schedule: Schedule, index: int, **changes) -> Schedule:
    phases = list(schedule.phases)
    phases[index] = replace(phases[index], **changes)
    return replace(schedule, phases=tuple(phases))


def _life(schedule: Schedule, index: int, **changes) -> Schedule:
    lives = list(schedule.lifetimes)
    lives[index] = replace(lives[index], **changes)
    return replace(schedule, lifetimes=tuple(lives))


def _adding(schedule: Schedule) -> int:
    return next(i for i, p in enumerate(schedule.phases) if p.residual is not None)


def _read_early(s: Schedule) -> Schedule:
    tokens = s.phases[1].gather
    return _phase(s, 1, gather=replace(tokens, limit=tokens.limit - 1))


def _row_early(s: Schedule) -> Schedule:
    tokens = s.phases[1].gather
    return _phase(s, 1, gather=replace(tokens, need=tokens.need - tokens.step - 1))


def _deadlock(s: Schedule) -> Schedule:
    tokens = s.phases[1].gather
    late = s.phases[1].stored_before + 1
    return _phase(s, 1, gather=replace(tokens, need=late, step=0, limit=late))


def _wrong_producer(s: Schedule) -> Schedule:
    return _phase(s, 1, gather=replace(s.phases[1].gather, producer=None))


def _add_early(s: Schedule) -> Schedule:
    index = _adding(s)
    return _phase(s, index, epilogue=replace(s.phases[index].epilogue, stored=(0,)))


def _add_never(s: Schedule) -> Schedule:
    index = _adding(s)
    tokens = replace(s.phases[index].epilogue, stored=(s.phases[index].stored_before + 1,))
    return _phase(s, index, epilogue=tokens)


def _same_buffer(s: Schedule) -> Schedule:
    phase = s.phases[_adding(s)]
    source, second = s.lifetimes[phase.source], phase.residual
    assert second is not None
    moved = _life(s, second, buffer=source.buffer, address=s.buffer_bytes[source.buffer])
    room = tuple(n + 65536 for n in s.buffer_bytes)
    return replace(moved, buffer_bytes=room)


def _overlap(s: Schedule) -> Schedule:
    phase = s.phases[_adding(s)]
    sink = s.lifetimes[phase.sink]
    return _life(s, phase.source, buffer=sink.buffer, address=sink.address)


def _outside(s: Schedule) -> Schedule:
    life = s.lifetimes[0]
    return _life(s, 0, address=s.buffer_bytes[life.buffer])


def _wrong_place(s: Schedule) -> Schedule:
    return _phase(s, 1, source=s.phases[1].sink)


def _leaves_early(s: Schedule) -> Schedule:
    sends = (*s.sends[:-1], replace(s.sends[-1], stored=s.sends[-1].stored - 1))
    return replace(s, sends=sends)


def _miscounted(s: Schedule) -> Schedule:
    return _phase(s, 0, stored=s.phases[0].stored + 1)


BROKEN = {
    "rows read before they are written": (_read_early, "gather: reads row"),
    "a row read before it is written": (_row_early, "gather: reads row"),
    "a wait for what comes after": (_deadlock, "gather: waits for"),
    "a wait for the wrong producer": (_wrong_producer, "gather: waits for the wrong producer"),
    "an operand added before it is there": (_add_early, "epilogue: adds"),
    "an addition that waits for itself": (_add_never, "epilogue: waits for groups"),
    "a read port used twice": (_same_buffer, "epilogue: reads its second operand"),
    "overlapping lifetimes": (_overlap, "overlap while both are alive"),
    "a tensor outside its buffer": (_outside, "leaves buffer"),
    "another tensor's place": (_wrong_place, "gather: uses the place of"),
    "an output sent before it is written": (_leaves_early, "leaves before it is written"),
    "a wrong count of groups": (_miscounted, "epilogue: writes"),
}


def test_what_the_scheduler_makes_is_accepted(schedule):
    check(schedule)


@pytest.mark.parametrize("kind", BROKEN)
def test_refused(schedule, kind):
    damage, words = BROKEN[kind]
    with pytest.raises(UserError) as caught:
        check(damage(schedule))
    assert words in str(caught.value)
    assert "schedule broken at" in str(caught.value)
    if ":" in words:
        assert "phase '" in str(caught.value)


@pytest.fixture(scope="module")
def computed() -> Schedule:
    """Two computed matrices are multiplied: one of them leaves and comes back as weights."""
    g = GraphBuilder("computed")
    x = g.input("x", (6, 8), bits=16, fraction_bits=8)
    weights = np.ones((8, 8), np.int16)
    a, b = (g.matmul(x, weights, weight_fraction_bits=4, fraction_bits=8) for _ in range(2))
    g.output(g.dot(a, b, name="scores", transpose_b=True, fraction_bits=8))
    geometry = Geometry(1, 4, 1, 1, element_bytes=2)
    target = Target(4, onchip_bytes=4096, offchip_bytes_per_cycle=8)
    return compile_graph(g.build(), target, geometry=geometry).schedule


def _weights_of(schedule: Schedule, **changes) -> Schedule:
    """With changes to the transfer that brings computed weights."""
    fetches = [replace(f, **changes) if f.region == SPILLS else f for f in schedule.fetches[0]]
    return replace(schedule, fetches=(tuple(fetches), *schedule.fetches[1:]))


def test_computed_weights_are_waited_for(computed):
    check(computed)
    with pytest.raises(UserError, match="'scores' takes weights before they have left"):
        check(_weights_of(computed, sent=0))


def test_computed_weights_have_a_source(computed):
    with pytest.raises(UserError, match="'scores' takes weights that nothing has sent"):
        check(_weights_of(computed, offset=1 << 20))


@pytest.fixture(scope="module")
def in_place() -> Schedule:
    """A product overwrites its second operand, for which alone there is room."""
    g = GraphBuilder("in place")
    x = g.input("x", (8, 16), bits=16, fraction_bits=8)
    weights = np.ones((16, 64), np.int16)
    a, b = (g.matmul(x, weights, weight_fraction_bits=4, fraction_bits=8) for _ in range(2))
    g.output(g.multiply(a, b, fraction_bits=8))
    target = Target(16, offchip_bytes_per_cycle=4, onchip_bytes=2 << 10)
    geometry = Geometry(1, 4, 4, 4, element_bytes=2)
    return compile_graph(g.build(), target, geometry=geometry).schedule


def _over(s: Schedule) -> tuple[int, int]:
    phase = s.phases[_adding(s)]
    assert phase.residual is not None
    return phase.residual, phase.sink


def test_a_result_that_overwrites_its_second_operand_is_accepted(in_place):
    second, sink = (in_place.lifetimes[life] for life in _over(in_place))
    assert second.shares(sink)
    assert second.last == sink.first
    check(in_place)


def test_a_result_that_overwrites_its_second_operand_out_of_order_is_refused(in_place):
    second, _ = _over(in_place)
    moved = _life(in_place, second, size=in_place.lifetimes[second].size + in_place.word_bytes)
    room = tuple(n + 65536 for n in moved.buffer_bytes)
    with pytest.raises(UserError, match="overlap while both are alive"):
        check(replace(moved, buffer_bytes=room))


def test_what_is_read_once_more_is_not_overwritten(in_place):
    second, sink = _over(in_place)
    again = replace(in_place.phases[-1], source=second)
    broken = replace(
        _life(in_place, second, last=len(in_place.phases)),
        phases=(*in_place.phases, again),
    )
    with pytest.raises(UserError, match="overlap while both are alive"):
        check(replace(broken, lifetimes=_life(broken, sink, last=len(in_place.phases)).lifetimes))
