"""Tasks that take turns: rows that add up, rings that suffice, and broken schedules refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.intar import KERNELS
from gen.bands import Section, Turns
from gen.check import check
from gen.compile import compile_graph
from gen.errors import UserError
from gen.fit import schedule_graph
from gen.operation import Geometry, Window
from gen.order import group_starts
from gen.placement import Placement, placed
from gen.ring import Ring
from gen.rows import output_rows, rows_between, rows_from, rows_until
from gen.schedule import Schedule
from gen.target import Target
from rtl.config import TENSORS

GEOMETRY = Geometry(rows=1, cols=8, depth=6, lanes=8, element_bytes=2)
TARGET = Target(multipliers=48, offchip_bytes_per_cycle=8, onchip_bytes=8192)
GRAPH = KERNELS["cnn"](scale="small", seed=1).graph
TOGETHER = Turns((Section(0, 4, 4),))
APART = Turns(tuple(Section(i, i + 1, 4) for i in range(4)), frozenset({"conv1", "conv2", "max3"}))


def _schedule(turns: Turns) -> Schedule:
    placement = replace(Placement.single(GRAPH, GEOMETRY), turns=turns)
    return schedule_graph(GRAPH, TARGET, placement)


@settings(deadline=None)
@given(st.integers(0, 3), st.data())
def test_bands_of_rows_write_together_what_the_whole_writes(index, data):
    op = placed(GRAPH, Placement.single(GRAPH, GEOMETRY), 8).operations[index][0]
    rows = output_rows(op)
    middle = data.draw(st.integers(1, rows - 1))
    parts = [rows_between(op, 0, middle), rows_between(op, middle, rows)]

    def written(part):
        starts, counts = group_starts(part, GEOMETRY)
        return {at for s, n in zip(starts, counts, strict=True) for at in range(s, s + n)}

    assert written(op) == written(parts[0]) | written(parts[1])
    assert not written(parts[0]) & written(parts[1])
    assert sum(part.window.touched_rows() != set() for part in parts) == 2
    assert max(parts[0].window.touched_rows()) + 1 == rows_until(op, middle)
    assert min(parts[1].window.touched_rows()) == rows_from(op, middle)


def test_rows_that_leave_the_chip_are_made_one_by_one_to_the_end():
    graph = KERNELS["vae"](scale="small", seed=1).graph
    compiled = compile_graph(graph, replace(TARGET, onchip_bytes=1 << 16), policy="dataflow")
    last = compiled.schedule.phases[-1].core
    phases = [phase for phase in compiled.schedule.phases if phase.core == last]
    assert {output_rows(phase.operation) for phase in phases} == {1}


def test_a_row_is_read_in_pieces_that_leave_out_what_lies_between_panels():
    window = Window("x", 5, run=8, pixels=3, pixel_step=8, rows=4, pitch=24, width=24, height=4,
                    repeats=2, repeat_step=96)  # fmt: skip
    assert window.spans()[1] == (5 + 24, 5 + 24 + 96 + 24)
    assert window.pieces()[1] == ((29, 53), (125, 149))


def test_a_sweep_over_panels_does_not_wait_for_the_last_row_to_begin():
    graph = KERNELS["mobilenet"](scale="full", seed=1).graph
    target = replace(TARGET, multipliers=144, offchip_bytes_per_cycle=64, onchip_bytes=1 << 20)
    compiled = compile_graph(graph, target, policy="sequential")
    (swept,) = [p for p in compiled.schedule.phases if p.operation.name == "depthwise4"]
    assert swept.operation.window.repeats > 1
    (maker,) = [p for p in compiled.schedule.phases if p.operation.name == "pointwise3"]
    begins = swept.gather.need - maker.stored_before
    assert begins < (maker.stored - maker.stored_before) // 8


@given(st.integers(1, 9), st.integers(1, 9), st.integers(-3, 400))
def test_a_ring_ends_where_the_next_byte_is_its_first(pitch, rows, offset):
    ring = Ring(pitch * rows, pitch)
    end = offset + ring.wrap(offset)
    assert end % ring.size == 0
    assert offset < end <= offset + ring.size


def test_tasks_in_turns_need_less_memory_and_move_nothing_but_inputs_and_outputs():
    plenty = replace(TARGET, onchip_bytes=1 << 20)
    whole = schedule_graph(GRAPH, plenty, Placement.single(GRAPH, GEOMETRY))
    turns = _schedule(TOGETHER)
    check(turns)
    assert turns.onchip_bytes < whole.onchip_bytes / 2
    assert turns.region_bytes == whole.region_bytes
    tasks = [phase.operation.tasks[0] for phase in turns.phases]
    assert tasks != sorted(tasks)


def test_a_consumer_comes_before_what_its_producer_makes_next():
    tasks = [phase.operation.tasks[0] for phase in _schedule(TOGETHER).phases]
    assert tasks[:6] == ["conv1", "conv2", "conv1", "conv3", "conv2", "conv1"]


def test_tasks_one_after_the_other_stream_from_off_chip_and_back():
    schedule = _schedule(APART)
    check(schedule)
    tasks = [phase.operation.tasks[0] for phase in schedule.phases]
    assert tasks == sorted(tasks)
    spilled = {send.name for send in schedule.sends} - {*GRAPH.outputs}
    assert spilled == APART.away


def test_auto_takes_turns_where_memory_is_scarce_and_is_quicker():
    target = replace(TARGET, onchip_bytes=4096)
    auto = compile_graph(GRAPH, target, policy="auto")
    sequential = compile_graph(GRAPH, target)
    assert auto.schedule.region_bytes[3] == 0 < sequential.schedule.region_bytes[3]
    assert auto.prediction.cycles < sequential.prediction.cycles


def _fetch(s: Schedule, index: int, **changes) -> Schedule:
    plans = list(s.fetches[TENSORS])
    plans[index] = replace(plans[index], **changes)
    return replace(s, fetches=(tuple(plans), *s.fetches[1:]))


def _last(s: Schedule) -> int:
    return len(s.fetches[TENSORS]) - 1


def _replaced_unread(s: Schedule) -> Schedule:
    return _fetch(s, _last(s), gathered=(0,))


def _full_streams(s: Schedule) -> Schedule:
    return _fetch(s, _last(s), gathered=(len(s.phases),))


def _smaller_ring(s: Schedule) -> Schedule:
    lives = [
        replace(life, ring=replace(life.ring, size=2 * life.ring.pitch))
        if life.storage == "conv2" and life.ring is not None
        else life
        for life in s.lifetimes
    ]
    return replace(s, lifetimes=tuple(lives))


def _swapped(s: Schedule) -> Schedule:
    phases = list(s.phases)
    second, later, *_ = (i for i, p in enumerate(phases) if p.operation.tasks[0] == "conv2")
    phases[second], phases[later] = phases[later], phases[second]
    return replace(s, phases=tuple(phases))


def _unsent(s: Schedule) -> Schedule:
    phases = [replace(p, epilogue=replace(p.epilogue, sent=0)) for p in s.phases]
    return replace(s, phases=tuple(phases))


def _back_early(s: Schedule) -> Schedule:
    back = next(i for i, plan in enumerate(s.fetches[TENSORS]) if plan.name.startswith("conv1."))
    return _fetch(s, back, sent=0)


def _missing_rows(s: Schedule) -> Schedule:
    return replace(s, fetches=(s.fetches[TENSORS][:-1], *s.fetches[1:]))


BROKEN = {
    "rows of a ring fetched over unread ones": (TOGETHER, _replaced_unread, "fetch: overwrites"),
    "a cycle of full streams": (TOGETHER, _full_streams, "fetch: .* only comes after it"),
    "a ring that is too small": (TOGETHER, _smaller_ring, "epilogue: overwrites what 'conv3"),
    "rows consumed out of order": (TOGETHER, _swapped, "gather: "),
    "rows replaced before they have left": (APART, _unsent, "epilogue: overwrites '.*' before"),
    "rows fetched back before they have left": (APART, _back_early, "fetch: .* have left"),
    "rows that never come": (TOGETHER, _missing_rows, "gather: reads row"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_refused(kind):
    turns, broken, words = BROKEN[kind]
    with pytest.raises(UserError, match=words):
        check(broken(_schedule(turns)))


def test_too_little_memory_for_two_bands_says_what_would_do():
    with pytest.raises(UserError, match=r"--onchip 0 is too small for 'cnn', --onchip \d would"):
        compile_graph(GRAPH, replace(TARGET, onchip_bytes=512), policy="auto")


def test_every_row_is_made_once():
    made = np.zeros(GRAPH.tensors["max4"].shape[1], int)
    pitch = GRAPH.tensors["max4"].shape[2]
    for phase in _schedule(TOGETHER).phases:
        if phase.operation.tasks[0] == "conv4":
            starts, _ = group_starts(phase.operation, GEOMETRY)
            made[np.unique(starts // pitch)] += 1
    assert made.tolist() == [1] * len(made)


def test_an_output_leaves_in_parts_of_which_the_first_is_small():
    schedule = compile_graph(GRAPH, replace(TARGET, onchip_bytes=1 << 20)).schedule
    size = GRAPH.tensors[GRAPH.outputs[0]].bytes // TARGET.offchip_bytes_per_cycle
    left = np.cumsum([send.beats for send in schedule.sends]).tolist()
    assert left == [size // 8, 3 * size // 8, 6 * size // 8, size]


def test_weights_that_stream_come_before_an_image_that_is_larger():
    graph = KERNELS["mobilenet"](scale="full", seed=1).graph
    target = Target(144, offchip_bytes_per_cycle=32, onchip_bytes=80 << 10)
    fetches = compile_graph(graph, target, policy="sequential").schedule.fetches[TENSORS]
    assert [fetch.name for fetch in fetches[:3]] == ["conv", "conv", "x"]


def test_a_vector_comes_before_more_weights():
    graph = KERNELS["ffn"](scale="small", seed=1).graph
    schedule = compile_graph(graph, Target(4, onchip_bytes=2048), policy="sequential").schedule
    assert schedule.streamed
    assert schedule.fetches[TENSORS][0].name == "x"
