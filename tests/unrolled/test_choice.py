"""Which tasks are unrolled, what they become, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from examples.intar import KERNELS
from gen.compile import compile_graph
from gen.errors import UserError
from gen.graph import Graph
from gen.schedule import Schedule
from gen.serial import decode, encode
from gen.target import Target
from gen.unrolled.choice import choose
from gen.unrolled.intervals import intervals
from tests.e2e.test_unrolled import network


def _only(graph: Graph, name: str, weights: np.ndarray) -> Graph:
    tasks = tuple(replace(t, weights=weights) if t.name == name else t for t in graph.tasks)
    return replace(graph, tasks=tasks)


def test_products_multiply_with_the_weights_of_their_tasks():
    graph = network(3)
    tasks = {task.name: task for task in graph.tasks}
    chosen = choose(graph, Target(), "all")
    assert [one.task for one in chosen] == ["a", "b", "y"]
    for one in chosen:
        weights = tasks[one.task].weights
        np.testing.assert_array_equal(one.product.matrix.T, weights.reshape(len(weights), -1))


def test_intervals_follow_from_clamps_and_padding():
    graph = network(3)
    found = intervals(graph)
    assert found["x"] == (-128, 127)
    assert found["a"] == (3, 18)
    (one,) = choose(graph, Target(), "b")
    assert one.product.inputs.tolist() == [[3, 18]] * 36


def test_auto_unrolls_what_is_small_and_leaves_what_is_not():
    graph = network(3)
    dense = network(3, zeros=0.0)
    chosen = choose(graph, Target(), "auto")
    assert "y" in [one.task for one in chosen]
    assert sum(one.product.luts for one in chosen) <= Target().luts
    assert choose(dense, Target(luts=10), "auto") == ()


def test_auto_counts_what_a_core_has_beside_its_product():
    graph = network(3)
    assert all(one.product.luts < 3000 for one in choose(graph, Target(), "all"))
    assert choose(graph, Target(luts=3000), "auto") == ()


def test_an_all_zero_layer_is_a_constant():
    graph = network(4)
    zero = _only(graph, "b", np.zeros((5, 3, 3, 4), np.int16))
    (one,) = choose(zero, Target(), "b")
    assert one.product.luts == 0
    compiled = compile_graph(zero, Target(24), unroll="b")
    assert compiled.schedule.cores[-1].geometry.unrolled


def test_a_schedule_with_products_is_saved_and_loaded():
    compiled = compile_graph(network(1), Target(24), unroll="b")
    schedule = decode(*encode(compiled.schedule), Schedule)
    assert schedule == compiled.schedule


def test_a_product_of_other_weights_is_found_by_the_check():
    from gen.check import check

    schedule = compile_graph(network(1), Target(24), unroll="b").schedule
    phases = list(schedule.phases)
    place = next(i for i, p in enumerate(phases) if p.operation.product is not None)
    product = phases[place].operation.product
    rows = product.rows.copy()
    rows[0, 0, 1] += 1
    operation = replace(phases[place].operation, product=replace(product, rows=rows))
    phases[place] = replace(phases[place], operation=operation)
    with pytest.raises(UserError, match="phase 'b', core: multiplies with other weights"):
        check(replace(schedule, phases=tuple(phases)))


@pytest.mark.parametrize(
    ("wish", "changes", "words"),
    [
        ("c", {}, "--unroll names no task 'c'; there are a, b, y"),
        ("flat", {}, "task 'flat' cannot be unrolled: only int8 products"),
        ("b", {"memory": "ram"}, "--unroll needs --memory rom"),
        ("all", {"luts": 3500}, r"more than --luts 3500 leaves it; it would fit with .*zero"),
        ("b", {"luts": 300}, r"task 'b' unrolled takes .* LUTs, .* more than --luts 300 .*weights"),
        ("a,b", {"luts": 0}, "leaves it; name fewer tasks"),
        (
            "all",
            {"luts": 500},
            "name fewer tasks, or all would fit with .* weights zero",
        ),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_could(wish, changes, words):
    with pytest.raises(UserError, match=words) as error:
        choose(network(3), Target(**changes), wish)
    assert "\n" not in str(error.value)
    print(error.value)


def test_int16_is_not_unrolled():
    graph = KERNELS["ffn"](scale="small", seed=1).graph
    with pytest.raises(UserError, match="finds no task of 'ffn' that could be unrolled"):
        choose(graph, Target(), "all")
