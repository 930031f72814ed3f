"""Policies: what they allow, what they choose, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.intar import KERNELS
from gen.bound import compulsory_bytes, dataflow_bound, sequential_bound
from gen.check import check
from gen.compile import Compiled, compile_graph
from gen.errors import UserError
from gen.graph import MatMul
from gen.partition import costs, partition
from gen.pipeline import Balance, Link, Option, Stage, balance
from gen.policy import POLICIES
from gen.target import Target
from gen.timing import predict_within
from gen.traffic import MEMORY_LATENCY
from intarsia.bench_intar import MULTIPLIERS, POINT_B, POINTS, bound
from intarsia.design import compile
from intarsia.graph import GraphBuilder
from tests.random_graphs import graphs

POINT_A = Target(onchip_bytes=4 << 20, offchip_bytes_per_cycle=64)


def _compiled(name: str, policy: str, multipliers: int) -> Compiled:
    graph = KERNELS[name](scale="small", seed=1).graph
    return compile_graph(graph, replace(POINT_A, multipliers=multipliers), policy=policy)


@pytest.mark.parametrize(("name", "multipliers"), [("ffn", 32), ("vae", 144)])
def test_auto_is_no_slower_than_either_of_the_others(name, multipliers):
    cycles = {
        policy: _compiled(name, policy, multipliers).prediction.cycles
        for policy in ("sequential", "dataflow", "auto")
    }
    assert cycles["auto"] <= min(cycles.values())


def test_dataflow_gives_every_task_a_core_and_keeps_the_budget():
    compiled = _compiled("ffn", "dataflow", 32)
    assert [phase.core for phase in compiled.schedule.phases] == [0, 1, 2]
    assert sum(core.geometry.multipliers for core in compiled.schedule.cores) <= 32
    assert len({life.buffer for life in compiled.schedule.lifetimes}) == 4


def _bound(compiled: Compiled, policy: str) -> int:
    bound = sequential_bound if policy == "sequential" else dataflow_bound
    return bound(compiled.graph, compiled.target, compiled.machine.config)


@pytest.mark.parametrize(("name", "multipliers"), [("ffn", 32), ("cnn", 432), ("vae", 144)])
def test_no_dataflow_is_quicker_than_its_bound(name, multipliers):
    compiled = _compiled(name, "dataflow", multipliers)
    assert _bound(compiled, "dataflow") <= compiled.prediction.cycles


@pytest.mark.parametrize(
    ("point", "name"),
    [
        *(("A", name) for name in ("ffn", "cnn", "vae")),
        *(("B", name) for name in ("cnn", "vae")),
        pytest.param("A", "mobilenet", marks=pytest.mark.slow),
    ],
)
def test_dataflow_is_within_5_percent_of_its_bound(point, name):
    graph = KERNELS[name](scale="full", seed=1).graph
    target = replace(POINTS[point][name], multipliers=MULTIPLIERS[name])
    compiled = compile_graph(graph, target, policy="dataflow")
    bound = _bound(compiled, "dataflow")
    assert bound <= compiled.prediction.cycles <= 1.05 * bound


def test_no_dataflow_is_quicker_than_its_bound_where_lines_lie_apart():
    rng, b = np.random.default_rng(5), GraphBuilder("apart")
    x = b.input("x", (1, 14, 12, 2), fraction_bits=10)
    x = b.conv(x, rng.normal(0, 0.3, (2, 3, 3, 2)), fraction_bits=9, padding=1)
    x = b.conv(x, rng.normal(0, 0.3, (2, 3, 3, 2)), fraction_bits=9, dilation=2, padding=2)
    x = b.conv(x, rng.normal(0, 0.3, (2, 2, 2, 2)), fraction_bits=9, stride=2)
    b.output(x)
    target = replace(POINT_A, multipliers=24)
    compiled = compile_graph(b.build(), target, policy="dataflow")
    assert 0 < _bound(compiled, "dataflow") <= compiled.prediction.cycles


def test_a_pipeline_is_balanced_by_rows():
    # The second stage's first row needs two of the first; the budget lets one of them be quick.
    slow, quick = Option(1, (10,) * 4, (0,) * 4), Option(2, (4,) * 4, (0,) * 4)
    first = Stage((slow, quick), (), (5,) * 4)
    second = Stage((slow, quick), (Link(0, (2, 3, 4, 4)),), (0,) * 4)
    made = balance([first, second], 3, hop=3, beside=1, seconds=1.0)
    assert made == Balance((1, 0), 5 + 8 + 3 + 40, 5 + 8 + 3 + 40)
    assert balance([first, second], 1, hop=3, beside=1, seconds=1.0) is None


def test_what_is_done_early_shortens_only_waits():
    maker = Stage((Option(1, (10, 10), (0, 0)),), (), (0, 0))
    reader = Stage((Option(1, (8, 8), (6, 6)),), (Link(0, (1, 2)),), (0, 0))
    made = balance([maker, reader], 2, hop=0, beside=0, seconds=1.0)
    assert made is not None
    assert made.cycles == 22


def test_a_row_passes_only_after_the_row_beside_it():
    maker = Stage((Option(1, (10, 10), (0, 0)),), (), (0, 0))
    adder = Stage((Option(1, (4, 4), (0, 0), passes=4),), (Link(0, (1, 2), beside=True),), (0, 0))
    made = balance([maker, adder], 2, hop=0, beside=3, seconds=1.0)
    assert made is not None
    assert made.cycles == 20 + 3 + 4


def test_rows_leave_one_after_the_other():
    stage = Stage((Option(1, (5, 5, 5), (0, 0, 0)),), (), (0, 0, 0), leave=(24, 14, 4))
    made = balance([stage], 1, hop=0, beside=0, seconds=1.0)
    assert made is not None
    assert made.cycles == 5 + 24


def test_no_dataflow_is_quicker_than_its_bound_where_a_last_row_is_not_read():
    rng, b = np.random.default_rng(3), GraphBuilder("odd")
    x = b.input("x", (1, 11, 12, 2), fraction_bits=10)
    x = b.conv(x, rng.normal(0, 0.3, (4, 2, 2, 2)), fraction_bits=9)
    x = b.conv(x, rng.normal(0, 0.3, (4, 3, 3, 4)), stride=2, fraction_bits=9)
    x = b.conv(x, rng.normal(0, 0.3, (4, 2, 2, 4)), stride=2, fraction_bits=9)
    b.output(x)
    target = replace(POINT_A, multipliers=24)
    compiled = compile_graph(b.build(), target, policy="dataflow")
    assert 0 < _bound(compiled, "dataflow") <= compiled.prediction.cycles


def test_auto_looks_no_further_where_all_multipliers_are_busy():
    rng, b = np.random.default_rng(1), GraphBuilder("dense")
    x = b.input("x", (256, 128), fraction_bits=10)
    for width in (128, 64):
        x = b.matmul(x, rng.normal(0, 0.1, (x.shape[-1], width)), fraction_bits=9)
    b.output(x)
    graph, said = b.build(), []
    compiled = compile_graph(
        graph, replace(POINT_A, multipliers=4), policy="auto", progress=said.append
    )
    assert compiled.prediction.cycles <= 1.001 * graph.macs() / 4
    assert "all multipliers are busy" in said
    assert not any("cores: about" in words for words in said)


@pytest.mark.parametrize("name", KERNELS)
def test_no_sequential_schedule_is_quicker_than_its_bound(name):
    compiled = _compiled(name, "sequential", 36)
    assert _bound(compiled, "sequential") <= compiled.prediction.cycles


@pytest.mark.parametrize(
    ("name", "multipliers"), [("ffn", 32), ("cnn", 432), ("vae", 144), ("mobilenet", 144)]
)
def test_sequential_schedules_are_within_5_percent_of_their_bound(name, multipliers):
    graph = KERNELS[name](scale="full", seed=1).graph
    target = replace(POINT_A, multipliers=multipliers)
    compiled = compile_graph(graph, target, policy="sequential")
    assert compiled.prediction.cycles <= 1.05 * _bound(compiled, "sequential")


@pytest.mark.parametrize("name", ["cnn", "vae", "mobilenet"])
def test_sequential_schedules_are_within_5_percent_of_their_bound_at_point_b(name):
    graph = KERNELS[name](scale="full", seed=1).graph
    target = replace(POINT_B[name], multipliers=MULTIPLIERS[name])
    design = compile(graph, target, policy="sequential")
    best = bound(design, "sequential")
    assert best <= design.prediction.cycles <= 1.05 * best


def test_the_bound_of_one_core_waits_for_input_and_output_to_pass_the_channel():
    graph = KERNELS["vae"](scale="full", seed=1).graph
    wide = replace(POINT_A, multipliers=144)
    config = compile_graph(graph, wide, policy="sequential").machine.config
    narrow = replace(wide, offchip_bytes_per_cycle=4)
    output = graph.tensors[graph.outputs[0]].bytes
    more = sequential_bound(graph, narrow, config) - sequential_bound(graph, wide, config)
    assert 0 < more < (graph.tensors["x"].bytes + output) // 4


def test_the_bound_of_one_core_counts_whole_strips():
    # On 48 columns of 9 products, rows of 224, 448, 896 and 448 pixels take 5, 10, 19, 10 strips;
    # those of 224 take 7 beats to come.
    cnn = KERNELS["cnn"]("full", 1).graph
    steps = 7 * 224 + 10 * 448 + 19 * 896 + 10 * 448
    target = replace(POINT_A, multipliers=432)
    config = compile_graph(cnn, target, policy="sequential").machine.config
    bound = sequential_bound(cnn, target, config)
    assert -(-cnn.macs() // 432) < bound <= steps + MEMORY_LATENCY + 200


def test_the_solver_gives_the_same_answer_every_time():
    graph = KERNELS["vae"](scale="small", seed=1).graph
    table = costs(graph, POINT_A, 144)
    assert partition(table, 144, 2) == partition(table, 144, 2)


def test_more_cores_than_tasks_are_no_placement():
    graph = KERNELS["ffn"](scale="small", seed=1).graph
    assert partition(costs(graph, POINT_A, 32), 32, 4) is None


def test_dataflow_with_more_tasks_than_multipliers_names_a_task_and_what_would_do():
    with pytest.raises(UserError, match=r"none for task 'f3'; 3 would suffice"):
        _compiled("ffn", "dataflow", 2)


def test_an_unknown_policy_is_told():
    with pytest.raises(UserError, match="must be one of sequential, dataflow, auto, not 'best'"):
        _compiled("ffn", "best", 32)


def _broken(compiled: Compiled, index: int, **changes) -> None:
    phases = list(compiled.schedule.phases)
    phases[index] = replace(phases[index], **changes)
    check(replace(compiled.schedule, phases=tuple(phases)))


def test_waiting_for_the_wrong_core_is_refused():
    compiled = _compiled("ffn", "dataflow", 32)
    tokens = compiled.schedule.phases[2].gather
    with pytest.raises(UserError, match="phase 'f3', gather: waits for the wrong producer"):
        _broken(compiled, 2, gather=replace(tokens, producer=0))


def test_a_core_that_reads_another_s_rows_too_early_is_refused():
    compiled = _compiled("ffn", "dataflow", 32)
    tokens = compiled.schedule.phases[1].gather
    with pytest.raises(UserError, match="phase 'f2', gather: reads row"):
        _broken(compiled, 1, gather=replace(tokens, limit=tokens.limit - 1))


def test_a_core_that_waits_for_what_another_never_makes_is_refused():
    compiled = _compiled("ffn", "dataflow", 32)
    tokens = compiled.schedule.phases[1].epilogue
    never = tuple(n + 10_000 for n in tokens.gathered)
    with pytest.raises(UserError, match="phase 'f2', epilogue: waits for words"):
        _broken(compiled, 1, epilogue=replace(tokens, gathered=never))


@settings(max_examples=30, deadline=None, database=None, derandomize=True)
@given(graphs(most=5), st.integers(8, 24), st.sampled_from([16, 64, 512]))
def test_any_graph_under_any_policy_keeps_the_rules_and_auto_is_never_slower(
    graph, multipliers, kilobytes
):
    target = Target(multipliers, kilobytes * 1024)
    cycles = {}
    for policy in POLICIES:
        try:
            compiled = compile_graph(graph, target, policy=policy)
        except UserError:
            if policy != "dataflow":
                raise
            continue
        check(compiled.schedule)
        assert sum(core.geometry.multipliers for core in compiled.schedule.cores) <= multipliers
        cycles[policy] = compiled.prediction.cycles
        if policy in ("sequential", "dataflow"):
            assert _bound(compiled, policy) <= compiled.prediction.cycles
    assert cycles["auto"] <= min(cycles.values())


@pytest.mark.parametrize("policy", ["sequential", "dataflow"])
def test_a_prediction_ends_where_it_is_known_to_be_beyond_its_limit(policy):
    made = _compiled("vae", policy, 144)
    schedule, config, cycles = made.schedule, made.machine.config, made.prediction.cycles
    assert predict_within(schedule, config, cycles) == made.prediction
    for limit in (0, cycles // 2, cycles - 1):
        assert predict_within(schedule, config, limit) is None


def test_auto_says_why_no_array_serves_a_graph(monkeypatch):
    def candidates(*_):
        raise UserError("task 'scores' suits no array")

    monkeypatch.setattr("gen.policy.candidates", candidates)
    with pytest.raises(UserError, match="task 'scores' suits no array"):
        _compiled("attention", "auto", 32)


def test_only_auto_takes_anything_from_what_is_known():
    graph = KERNELS["gating"](scale="small", seed=1).graph
    target = Target(multipliers=12, offchip_bytes_per_cycle=8, onchip_bytes=6 << 10)
    known = [compile_graph(graph, target, policy="sequential")]
    alone = compile_graph(graph, target, policy="dataflow")
    assert compile_graph(graph, target, policy="dataflow", known=known).schedule == alone.schedule
    assert len(alone.schedule.cores) == 3


def test_auto_takes_what_is_known_for_granted():
    graph = KERNELS["ffn"](scale="small", seed=1).graph
    target = replace(POINT_A, multipliers=32)
    known = [compile_graph(graph, target, policy=policy) for policy in ("sequential", "dataflow")]
    again = compile_graph(graph, target, policy="auto", known=known)
    assert again.schedule == compile_graph(graph, target, policy="auto").schedule


def test_what_must_pass_the_channel_leaves_out_biases_that_are_all_equal():
    graph = KERNELS["ffn"](scale="small", seed=1).graph
    ends = sum(graph.tensors[name].bytes for name in (*graph.inputs, *graph.outputs))
    weights = sum(task.weights.size * 2 for task in graph.tasks if isinstance(task, MatMul))
    assert compulsory_bytes(graph, streamed=False) == ends
    assert compulsory_bytes(graph, streamed=True) == ends + weights
    assert isinstance(compulsory_bytes(graph, streamed=True), int)


def test_streamed_weights_that_fit_twice_at_most_keep_the_channel_busy():
    kernel = KERNELS["ffn"](scale="full", seed=1)
    target = Target(multipliers=32, offchip_bytes_per_cycle=64, onchip_bytes=21_760)
    prediction = compile_graph(kernel.graph, target, policy="sequential").prediction
    assert prediction.cycles <= 1.05 * kernel.graph.macs() / 32
