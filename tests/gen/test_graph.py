"""Graph.check() accepts what is consistent, and names the task or tensor that is not."""

from dataclasses import replace

import numpy as np
import pytest

from gen.errors import UserError
from gen.graph import (
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Dot,
    Graph,
    Interpolate,
    Lookup,
    MatMul,
    Multiply,
    Pad,
    Pool,
    Reshape,
    Slice,
    Task,
    Tensor,
    Transpose,
    Upsample,
)
from gen.task_products import EQUAL_SCALES, INT16_MULTIPLIER

WIDE = (-32768, 32767)


def wide(name: str, *shape: int, fraction_bits: int = 8) -> Tensor:
    return Tensor(name, shape, 2.0**-fraction_bits, 0, bits=16)


def narrow(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, 0.1, 3)


def graph(task: Task, *tensors: Tensor) -> Graph:
    """One task whose result is the last tensor."""
    names = tuple(t.name for t in tensors)
    return Graph("g", dict(zip(names, tensors, strict=True)), (task,), names[:-1], names[-1:])


def per_channel(count: int, shift: int = 0) -> dict:
    return {
        "bias": np.zeros(count, np.int32),
        "multiplier": np.full(count, INT16_MULTIPLIER, np.int32),
        "shift": np.full(count, shift, np.int8),
    }


def conv(inputs: str = "x", weights: tuple[int, ...] = (4, 3, 3, 2), **more) -> Conv:
    members = {"clamp": WIDE, **per_channel(weights[0]), **more}
    return Conv("conv", (inputs,), "y", np.ones(weights, np.int16), **members)


def transposed(weights: tuple[int, ...] = (4, 3, 3, 2), **more) -> ConvTranspose:
    members = {"clamp": WIDE, **per_channel(weights[0]), **more}
    return ConvTranspose("up", ("x",), "y", np.ones(weights, np.int16), **members)


def matmul(name: str, x: str, y: str, size: int = 3) -> MatMul:
    weights = np.ones((size, size), np.int16)
    return MatMul(name, (x,), y, weights, **per_channel(size), clamp=WIDE)


IMAGE = wide("x", 1, 8, 6, 2)
SAME = wide("y", 1, 8, 6, 2)

GOOD = [
    graph(conv(), IMAGE, wide("y", 1, 6, 4, 4)),
    graph(conv(stride=(2, 3), padding=(1, 0, 2, 1)), IMAGE, wide("y", 1, 4, 3, 4)),
    graph(conv(weights=(4, 3, 3, 1), groups=2), IMAGE, wide("y", 1, 6, 4, 4)),
    graph(transposed(stride=(2, 1), padding=(1, 2, 0, 1)), IMAGE, wide("y", 1, 14, 7, 4)),
    graph(matmul("m", "x", "y"), wide("x", 5, 3), wide("y", 5, 3)),
    graph(
        Dot("dot", ("a", "b"), "y", INT16_MULTIPLIER, -3, clamp=WIDE),
        wide("a", 4, 3),
        wide("b", 3, 5),
        wide("y", 4, 5),
    ),
    graph(
        Dot("dot", ("a", "b"), "y", INT16_MULTIPLIER, -3, transpose_b=True, clamp=WIDE),
        wide("a", 4, 3),
        wide("b", 5, 3),
        wide("y", 4, 5),
    ),
    graph(
        Multiply("m", ("a", "b"), "y", INT16_MULTIPLIER, -3, clamp=WIDE),
        wide("a", 1, 4, 3, 1),
        wide("b", 1, 4, 3, 5),
        wide("y", 1, 4, 3, 5),
    ),
    graph(
        Add("add", ("a", "b"), "y", *EQUAL_SCALES, clamp=WIDE),
        wide("a", 1, 4, 3, 5),
        wide("b", 1, 4, 3, 1),
        wide("y", 1, 4, 3, 5),
    ),
    graph(Upsample("up", ("x",), "y", 3), IMAGE, wide("y", 1, 24, 18, 2)),
    graph(Pool("pool", ("x",), "y", "max", (2, 2), (2, 2)), IMAGE, wide("y", 1, 4, 3, 2)),
    graph(Concat("c", ("x", "x2"), "y", 1), IMAGE, wide("x2", 1, 1, 6, 2), wide("y", 1, 9, 6, 2)),
    graph(
        Interpolate("silu", ("x",), "y", "silu", np.zeros(257, np.int16)),
        wide("x", 7),
        wide("y", 7),
    ),
]


@pytest.mark.parametrize("good", GOOD, ids=lambda g: g.tasks[0].kind)
def test_a_consistent_graph_passes(good):
    good.check()


BAD = [
    (graph(conv(), IMAGE, wide("y", 1, 6, 4, 5)), r"shape \(1, 6, 4, 4\), but 'y' is declared as"),
    (graph(conv(), IMAGE, narrow("y", 1, 6, 4, 4)), "'x' is int16 but 'y' is int8; .* one type"),
    (graph(conv(), wide("x", 8, 2), wide("y", 8, 4)), r"'x' must be an image .*, not \(8, 2\)"),
    (graph(conv(), wide("x", 1, 2, 9, 2), wide("y", 1, 6, 4, 4)), "window 3 x 3 is larger than"),
    (graph(conv(), wide("x", 1, 8, 6, 3), wide("y", 1, 6, 4, 4)), "in 1 groups do not suit 'x'"),
    (graph(conv(weights=(4, 3, 2)), IMAGE, wide("y", 1, 6, 4, 4)), "weights must be"),
    (graph(conv(bias=np.zeros(3)), IMAGE, wide("y", 1, 6, 4, 4)), r"bias has shape \(3,\), not"),
    (graph(conv(clamp=(-5, 40000)), IMAGE, wide("y", 1, 6, 4, 4)), "no range of int16"),
    (
        graph(conv(**per_channel(4, 2)), IMAGE, wide("y", 1, 6, 4, 4)),
        r"multiplier 2\*\*30 and shifts from -31 to 1",
    ),
    (graph(transposed((4, 3, 3)), IMAGE, wide("y", 1, 1, 1, 1)), "weights must be"),
    (graph(transposed((4, 3, 3, 3)), IMAGE, wide("y", 1, 1, 1, 1)), "do not suit 'x'"),
    (
        graph(transposed(padding=(9, 9, 0, 0)), IMAGE, wide("y", 1, 1, 1, 1)),
        "padding .* leaves nothing",
    ),
    (graph(matmul("m", "x", "y"), wide("x", 5, 4), wide("y", 5, 3)), "do not suit 'x'"),
    (
        graph(
            Dot("dot", ("a", "b"), "y", INT16_MULTIPLIER, -3, transpose_b=True, clamp=WIDE),
            wide("a", 4, 3),
            wide("b", 3, 5),
            wide("y", 4, 5),
        ),
        r"'a' \(4, 3\) cannot be multiplied by the transpose of 'b' \(3, 5\)",
    ),
    (
        graph(Dot("d", ("a",), "y", INT16_MULTIPLIER, 0), wide("a", 4, 3), wide("y", 4, 5)),
        "it has 1 inputs, not 2",
    ),
    (
        graph(
            Dot("dot", ("a", "b"), "y", 5, 0, clamp=WIDE),
            wide("a", 4, 3),
            wide("b", 3, 5),
            wide("y", 4, 5),
        ),
        "int16 is requantised with",
    ),
    (
        graph(Multiply("m", ("a", "b"), "y", 5, 0), wide("a", 4), wide("b", 4), wide("y", 4)),
        "int16 is requantised with",
    ),
    (
        graph(
            Multiply("m", ("a", "b"), "y", INT16_MULTIPLIER, 0),
            wide("a", 4),
            wide("b", 5),
            wide("y", 5),
        ),
        "must have equal shapes, or be images",
    ),
    (
        graph(
            Add("add", ("a", "b"), "y", *EQUAL_SCALES),
            narrow("a", 1, 4, 3, 5),
            narrow("b", 1, 4, 3, 1),
            narrow("y", 1, 4, 3, 5),
        ),
        "must have equal shapes",
    ),
    (
        graph(
            Add("add", ("a", "b"), "y", *EQUAL_SCALES, clamp=WIDE),
            wide("a", 4),
            wide("b", 4, fraction_bits=9),
            wide("y", 4),
        ),
        "int16 tensors are added on one scale, not 0.00390625, 0.001953125, 0.00390625",
    ),
    (graph(Upsample("up", ("x",), "y", 0), IMAGE, SAME), "factor must be at least 1, not 0"),
    (
        graph(
            Interpolate("i", ("x",), "y", "silu", np.zeros(257, np.int16)),
            narrow("x", 4),
            narrow("y", 4),
        ),
        "'x' is int8, for which interpolate is not defined",
    ),
    (
        graph(
            Interpolate("i", ("x",), "y", "silu", np.zeros(256, np.int16)),
            wide("x", 4),
            wide("y", 4),
        ),
        r"table has shape \(256,\), not \(257,\)",
    ),
    (
        graph(Lookup("t", ("x",), "y", "tanh", np.zeros(256)), wide("x", 4), wide("y", 4)),
        "'x' is int16, for which lookup is not defined",
    ),
    (
        graph(Pad("p", ("x",), "y", ((0, 1),), 0), IMAGE, SAME),
        r"it pads 1 axes of 'x' \(1, 8, 6, 2\)",
    ),
    (graph(Concat("c", ("x",), "y", 4), IMAGE, SAME), "has no axis 4"),
    (graph(Concat("c", (), "y", 4), SAME), "it has 0 inputs, not at least 1"),
    (
        graph(Concat("c", ("x", "z"), "y", 0), wide("x", 4, 3), wide("z", 4, 2), wide("y", 8, 3)),
        "'x' .* and 'z' .* differ beside axis 0",
    ),
    (graph(Reshape("r", ("x",), "y"), IMAGE, wide("y", 97)), "96 elements, which do not fill"),
    (graph(Transpose("t", ("x",), "y", (0, 1, 1)), wide("x", 1, 2, 3), SAME), "does not permute"),
    (
        graph(Slice("s", ("x",), "y", (2,), (3,)), wide("x", 8), wide("y", 3)),
        "reaches outside 'x'",
    ),
    (
        graph(Pool("p", ("x",), "y", "average", (1, 1), even=True), IMAGE, SAME),
        "only int8 is rounded",
    ),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_what_does_not_fit_is_refused_by_task(bad, message):
    with pytest.raises(UserError, match=message) as caught:
        bad.check()
    assert str(caught.value).startswith(f"task '{bad.tasks[0].name}': ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (wide("x", 3, 0), r"'x' has shape \(3, 0\); every dimension"),
        (wide("x"), r"'x' has shape \(\); every dimension"),
        (Tensor("x", (3,), 0.5, 0, bits=12), "'x' has 12 bits; it must have 8 or 16"),
        (Tensor("x", (3,), 0.0, 0), "'x' has scale 0.0; scales must be finite"),
        (Tensor("x", (3,), 0.5, 128), "'x' has zero point 128, not an int8"),
        (Tensor("x", (3,), 0.5, 1, bits=16), "int16 needs a power of two and zero point 0"),
        (Tensor("x", (3,), 0.3, 0, bits=16), "'x' is int16 with scale 0.3"),
    ],
)
def test_an_impossible_tensor_is_refused(tensor, message):
    with pytest.raises(UserError, match=message):
        Graph("g", {"x": tensor}, (), ("x",), ("x",)).check()


def chain(*links: tuple[str, str, str]) -> Graph:
    """Products ``(name, input, output)`` in this order, from 'x' to 'y'."""
    names = {"x", "y", *(name for link in links for name in link[1:])}
    tensors = {name: wide(name, 3) for name in names}
    return Graph("g", tensors, tuple(matmul(*link) for link in links), ("x",), ("y",))


def test_a_chain_passes():
    chain(("a", "x", "h"), ("b", "h", "y")).check()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            chain(("a", "h", "y"), ("b", "x", "h")),
            "task 'a' reads 'h' before task 'b' produces it; order tasks by their data",
        ),
        (
            chain(("a", "h", "k"), ("b", "k", "h"), ("c", "h", "y")),
            "task 'a' reads 'h', which depends on its own result 'k'; remove the cycle",
        ),
        (chain(("a", "y", "y")), "task 'a' reads 'y', which depends on its own result 'y'"),
        (
            chain(("a", "h", "y")),
            "task 'a' reads 'h', which no task produces and which is not an input of the graph",
        ),
        (chain(("a", "x", "y"), ("a", "x", "h")), "two tasks are named 'a'"),
        (chain(("a", "x", "y"), ("b", "x", "y")), "task 'b' writes 'y' a second time"),
        (chain(("a", "x", "h")), "graph output 'y' has no producer"),
        (
            replace(chain(("a", "x", "y")), tensors={"x": wide("x", 3)}),
            "task 'a' writes unknown tensor 'y'",
        ),
        (
            replace(chain(("a", "x", "y")), inputs=("x", "z")),
            "graph input 'z' is not among the graph's tensors",
        ),
    ],
)
def test_the_source_of_every_tensor_is_checked(bad, message):
    with pytest.raises(UserError, match=message) as caught:
        bad.check()
    assert "\n" not in str(caught.value)


def test_volumes_count_bytes_and_products():
    a = graph(transposed(), IMAGE, wide("y", 1, 10, 8, 4))
    assert a.macs() == 8 * 6 * 2 * 3 * 3 * 4
    assert a.tasks[0].weight_bytes(a) == 2 * 4 * 3 * 3 * 2 + 4 * 4
    assert (IMAGE.size, IMAGE.bytes) == (96, 192)
    assert narrow("x", 3, 4).bytes == 12
    product = Dot("dot", ("a", "b"), "y", INT16_MULTIPLIER, -3)
    assert graph(product, wide("a", 4, 3), wide("b", 3, 5), wide("y", 4, 5)).macs() == 60
