"""How tasks round reaches the operations and the machine."""

from dataclasses import replace

import numpy as np
import pytest

from gen.compile import compile_graph
from gen.errors import UserError
from gen.graph import Add, Conv, Graph, Pool, Task, Tensor
from gen.lower import lower
from gen.operation import Geometry
from gen.target import Target

GEOMETRY = Geometry(1, 4, 9, 2)
HALF = (1 << 30, 0)


def _block(conv_even: bool, add_even: bool) -> Graph:
    """A convolution and the addition of its input."""
    names = ("x", "c", "y")
    tensors = {name: Tensor(name, (1, 6, 6, 4), 0.1, 0) for name in names}
    multiplier, shift = np.full(4, 1 << 30, np.int32), np.full(4, -7, np.int8)
    weights, bias = np.ones((4, 3, 3, 4), np.int16), np.zeros(4, np.int32)
    conv = Conv("conv", ("x",), "c", weights, bias, multiplier, shift, padding=(1,) * 4)
    add = Add("add", ("c", "x"), "y", HALF, HALF, (1 << 30, -18))
    tasks = (replace(conv, even=conv_even), replace(add, even=add_even))
    return Graph("block", tensors, tasks, ("x",), ("y",))


def _pooled(size: int) -> Graph:
    tensors = {"x": Tensor("x", (1, size, size, 1), 0.1, 3), "y": Tensor("y", (1, 1, 1, 1), 0.1, 3)}
    task: Task = Pool("mean", ("x",), "y", "average", (size, size), even=True)
    return Graph("pooled", tensors, (task,), ("x",), ("y",))


@pytest.mark.parametrize("even", [False, True])
def test_a_machine_for_one_rounding_stores_no_bit_for_it(even):
    machine = compile_graph(_block(even, even), Target(16)).machine
    assert machine.fields["epilogue"]["even"].constant == even
    assert machine.config.even == even


def test_a_machine_for_both_roundings_has_a_bit_for_it():
    machine = compile_graph(_block(True, False), Target(16)).machine
    assert machine.fields["epilogue"]["even"].constant is None


@pytest.mark.parametrize("conv_even", [False, True])
@pytest.mark.parametrize("add_even", [False, True])
def test_only_what_rounds_alike_shares_an_operation(conv_even, add_even):
    graph = _block(conv_even, add_even)
    # The residual must lie apart from what is gathered.
    tensors = graph.tensors | {"z": replace(graph.tensors["x"], name="z")}
    tasks = (graph.tasks[0], replace(graph.tasks[1], inputs=("c", "z")))
    graph = replace(graph, tensors=tensors, tasks=tasks, inputs=("x", "z"))
    found = [(op.tasks, op.even) for op in lower(graph, GEOMETRY).operations]
    together = [(("conv", "add"), conv_even)]
    apart = [(("conv",), conv_even), (("add",), add_even)]
    assert found == (together if conv_even == add_even else apart)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 12, 45])
def test_averages_over_many_taps_divide_exactly(size):
    assert lower(_pooled(size), GEOMETRY).operations[0].even


def test_an_average_that_no_multiplier_computes_is_refused():
    with pytest.raises(UserError, match="12544 taps has no exact"):
        lower(_pooled(112), GEOMETRY)
