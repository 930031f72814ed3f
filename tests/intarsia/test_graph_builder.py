"""The builder's graphs mean what the calls say, and every mistake is one line naming the task."""

import doctest

import numpy as np
import pytest

import intarsia.graph
from gen.errors import UserError
from gen.graph import Conv, Interpolate, Lookup
from intarsia.graph import GraphBuilder
from sim import golden


@pytest.fixture
def g() -> GraphBuilder:
    return GraphBuilder("g")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def evaluate(g: GraphBuilder, *arrays: np.ndarray) -> np.ndarray:
    """The first output, as real numbers, of inputs given as real numbers."""
    graph = g.build()
    feeds = {}
    for name, real in zip(graph.inputs, arrays, strict=True):
        x = graph.tensors[name]
        feeds[name] = np.clip(np.rint(real / x.scale) + x.zero_point, *x.limits).astype(x.dtype)
    y = graph.tensors[graph.outputs[0]]
    return (golden.run(graph, feeds)[y.name].astype(float) - y.zero_point) * y.scale


def image(g: GraphBuilder, h: int = 6, w: int = 5, c: int = 2, name: str = "x"):
    return g.input(name, (1, h, w, c), fraction_bits=10)


def test_the_examples_of_the_module_run():
    assert doctest.testmod(intarsia.graph).failed == 0


def test_a_product_of_real_weights_is_close(g, rng):
    x = g.input("x", (3, 40), fraction_bits=12)
    w, bias = rng.normal(0, 0.2, (40, 7)), rng.normal(0, 1, 7)
    g.output(g.matmul(x, w, bias, relu=True, fraction_bits=11))
    real = np.round(rng.normal(0, 1, (3, 40)) * 4096) / 4096
    y = evaluate(g, real)
    # Half a step of each of 40 weights and of the result.
    bound = 2.0**-12 + np.abs(real).sum(axis=1).max() * 2.0**-15
    assert np.abs(y - np.maximum(real @ w + bias, 0)).max() <= bound


def test_integer_weights_keep_their_values_and_give_the_shift(g, rng):
    w = rng.integers(-32768, 32768, (40, 7), dtype=np.int16)
    x = g.input("x", (3, 40), fraction_bits=12)
    g.output(g.matmul(x, w, np.arange(7), weight_fraction_bits=18, fraction_bits=10, name="m"))
    (task,) = g.build().tasks
    np.testing.assert_array_equal(task.weights, w.T)
    assert task.bias.tolist() == list(range(7))
    assert set(task.shift.tolist()) == {1 - 20}
    assert set(task.multiplier.tolist()) == {1 << 30}
    assert task.clamp == (-32768, 32767)


def test_int8_has_a_scale_per_output_channel(g, rng):
    x = g.input("x", (1, 8, 8, 3), bits=8, scale=0.02, zero_point=-5)
    w = rng.normal(0, [[[[0.1]]], [[[0.3]]], [[[2.0]]], [[[0.01]]]], (4, 3, 3, 3))
    bias = rng.normal(0, 0.1, 4)
    g.output(g.conv(x, w, bias, padding=1, relu=True, scale=0.05, zero_point=-128))
    (task,) = g.build().tasks
    assert isinstance(task, Conv)
    assert (np.abs(task.weights).reshape(4, -1).max(axis=1) == 127).all()
    assert task.clamp == (-128, 127)
    real = rng.uniform(-2, 2, (1, 8, 8, 3))
    real = np.round(real / 0.02) * 0.02
    y = evaluate(g, real)[0]
    padded = np.pad(real[0], ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    exact = np.clip(np.einsum("hwcyx,oyxc->hwo", windows, w) + bias, 0, 255 * 0.05)
    weight_steps = np.abs(w).reshape(4, -1).max(axis=1) / 127
    assert (np.abs(y - exact) <= 0.026 + weight_steps / 2 * 54).all()


def test_int8_functions_are_tables_and_int16_ones_interpolate(g):
    x = g.input("x", (5,), bits=8, scale=0.05)
    z = g.input("z", (5,), fraction_bits=12)
    g.output(g.silu(x, scale=0.05, zero_point=3))
    g.output(g.tanh(z, fraction_bits=15))
    g.output(g.function(z, np.cos))
    tasks = g.build().tasks
    assert [type(t) for t in tasks] == [Lookup, Interpolate, Interpolate]
    assert [t.name for t in tasks] == ["silu_1", "tanh_2", "cos_3"]
    y = evaluate(g, np.array([-6.0, -1, 0, 1, 6]), np.zeros(5))
    x_real = np.array([-6.0, -1, 0, 1, 6])
    assert np.abs(y - x_real / (1 + np.exp(-x_real))).max() < 0.026


@pytest.mark.parametrize("name", ["sigmoid", "gelu"])
def test_functions_by_name(g, name):
    g.output(getattr(g, name)(g.input("x", (3,), fraction_bits=12), fraction_bits=12))
    y = evaluate(g, np.array([-1.0, 0, 1]))
    expected = {"sigmoid": [0.26894, 0.5, 0.73106], "gelu": [-0.15866, 0, 0.84134]}[name]
    assert np.abs(y - expected).max() < 1e-3


@pytest.mark.parametrize(("bits", "bound"), [(16, 2.0**-15), (8, 0.01)])
def test_softmax_of_rows(g, rng, bits, bound):
    g.output(g.softmax_rows(g.input("x", (5, 20), bits=bits, scale=2.0 ** (5 - bits))))
    real = np.round(rng.normal(0, 2, (5, 20)) * 8) / 8
    power = np.exp(real)
    exact = power / power.sum(axis=1, keepdims=True)
    assert np.abs(evaluate(g, real) - exact).max() < bound


def test_products_of_activations(g, rng):
    a = g.input("a", (4, 6), fraction_bits=12)
    b = g.input("b", (5, 6), fraction_bits=12)
    g.output(g.dot(a, b, transpose_b=True, factor=1 / 4, fraction_bits=12))
    p, q = rng.normal(0, 1, (4, 6)), rng.normal(0, 1, (5, 6))
    assert np.abs(evaluate(g, p, q) - p @ q.T / 4).max() < 1e-3


def test_int8_sums_and_products_of_activations(g, rng):
    a = g.input("a", (1, 3, 4, 2), bits=8, scale=0.03, zero_point=4)
    b = g.input("b", (1, 3, 4, 2), bits=8, scale=0.02, zero_point=-9)
    product = g.multiply(a, b, scale=0.05, zero_point=1)
    g.output(g.add(product, a, scale=0.06, zero_point=0))
    p, q = rng.uniform(-2, 2, (2, 1, 3, 4, 2))
    assert np.abs(evaluate(g, p, q) - (p * q + p)).max() < 0.15


def test_sampling_is_as_close_as_stated(g, rng):
    mu = g.input("mu", (1, 40, 50, 1), fraction_bits=12)
    logvar = g.input("logvar", (1, 40, 50, 1), fraction_bits=13)
    eps = g.input("eps", (1, 40, 50, 2), fraction_bits=13)
    g.output(g.sample(mu, logvar, eps, name="z"))
    graph = g.build()
    assert graph.tensors["z_deviation"].scale == 2.0**-12
    m = np.round(rng.normal(0, 1, (1, 40, 50, 1)) * 2**12) / 2**12
    v = np.round(rng.uniform(-4, 2, (1, 40, 50, 1)) * 2**13) / 2**13
    e = np.round(np.clip(rng.normal(0, 1, (1, 40, 50, 2)), -3, 3) * 2**13) / 2**13
    z = evaluate(g, m, v, e)
    exact = m + np.exp(v / 2) * e
    assert np.abs(exact).max() > 7
    inside = (np.abs(exact) < 7.99) & (np.abs(exact - m) < 7.99)
    step = 256 * 2.0**-13
    bound = np.abs(e) * (2.0**-12 + step**2 / 32 * np.exp((v + step) / 2)) + 2.0**-13
    assert (np.abs(z - exact) <= bound)[inside].all()


def test_images_are_pooled_upsampled_and_moved(g, rng):
    x = image(g)
    up = g.upsample(x, 2)
    pooled = g.max_pool(up, 2)
    turned = g.transpose(pooled, (0, 3, 1, 2))
    flat = g.reshape(turned, (1, 60))
    part = g.slice(flat, (0, 1), (1, 60), (1, 2))
    padded = g.pad(part, ((0, 0), (1, 0)))
    g.output(g.concat([padded, part], 1))
    real = np.round(rng.normal(0, 1, (1, 6, 5, 2)) * 1024) / 1024
    part = real.transpose(0, 3, 1, 2).reshape(1, 60)[:, 1::2]
    np.testing.assert_array_equal(evaluate(g, real), np.c_[[[0]], part, part])


def test_pools_and_transposed_convolutions_take_strides(g, rng):
    x = image(g)
    y = g.average_pool(x, (3, 2), stride=1, padding=(1, 0, 0, 1))
    y = g.conv_transpose(y, rng.normal(0, 1, (3, 2, 2, 2)), stride=2, padding=1, relu=True)
    assert y.shape == (1, 8, 8, 3)
    y = g.conv(y, rng.normal(0, 1, (6, 3, 2, 1)), stride=(1, 2), dilation=(2, 1), groups=3)
    assert g.output(y).shape == (1, 4, 4, 6)
    g.build()


def test_tasks_may_be_made_before_what_they_read(g):
    x = g.input("x", (1, 4), fraction_bits=12)
    h = g.tensor("h", (1, 4), fraction_bits=12)
    g.output(g.matmul("h", np.eye(4), name="second"))
    g.matmul(x, np.eye(4), name="first", into=h)
    assert [task.name for task in g.build().tasks] == ["first", "second"]


def test_a_cycle_is_named(g):
    x = g.input("x", (1, 4), fraction_bits=12)
    h = g.tensor("h", (1, 4), fraction_bits=12)
    g.output(g.add(x, h, name="sum"))
    g.matmul("sum", np.eye(4), name="back", into=h)
    with pytest.raises(UserError, match="task 'sum' reads 'h', which depends on its own result"):
        g.build()


def test_a_tensor_without_a_producer_is_named(g):
    x = g.input("x", (1, 4), fraction_bits=12)
    h = g.tensor("h", (1, 4), fraction_bits=12)
    g.output(g.add(x, h, name="sum"))
    with pytest.raises(UserError, match="task 'sum' reads 'h', which no task produces"):
        g.build()


def test_a_tensor_that_nothing_writes_is_named(g):
    g.output(g.matmul(g.input("x", (1, 4), fraction_bits=12), np.eye(4)))
    g.tensor("h", (1, 4), fraction_bits=12)
    with pytest.raises(UserError, match="tensor 'h' has no producer"):
        g.build()


def test_a_graph_needs_an_output(g):
    g.input("x", (1, 4), fraction_bits=12)
    with pytest.raises(UserError, match="graph 'g' has no output"):
        g.build()


W = np.ones((4, 3))
K = np.ones((2, 3, 3, 2))
REFUSED = [
    (lambda g, x: g.matmul("h", W, name="t"), "'h' is no tensor of graph 'g'"),
    (
        lambda g, x: g.matmul(GraphBuilder("o").input("x", (1, 4), fraction_bits=1), W, name="t"),
        "'x' is no tensor of graph 'g'",
    ),
    (lambda g, x: g.matmul(x, np.ones((5, 3)), name="t"), r"\(3, 5\) \(N, K\) do not suit 'x'"),
    (lambda g, x: g.matmul(x, np.ones(4), name="t"), r"shape \(4,\), not one row per output"),
    (lambda g, x: g.matmul(x, W.astype(int), name="t"), "integer weights need weight_fraction"),
    (lambda g, x: g.matmul(x, W > 0, weight_scale=1.0, name="t"), "must be real or integer, not"),
    (
        lambda g, x: g.matmul(x, np.full((4, 3), 40000), weight_scale=1.0, name="t"),
        "weights reach from 40000 to 40000, outside int16",
    ),
    (lambda g, x: g.matmul(x, W * np.nan, name="t"), "weights hold NaN"),
    (lambda g, x: g.matmul(x, W, weight_scale=np.ones(2), name="t"), r"shape \(2,\), not \(3,\)"),
    (lambda g, x: g.matmul(x, W, weight_scale=-1.0, name="t"), "finite and greater than zero"),
    (
        lambda g, x: g.matmul(x, W, weight_scale=1.0, weight_fraction_bits=0, name="t"),
        "give either weight_fraction_bits or weight_scale",
    ),
    (lambda g, x: g.matmul(x, W, np.ones(2), name="t"), r"bias has shape \(2,\), not \(3,\)"),
    (lambda g, x: g.matmul(x, W, np.full(3, 1e6), name="t"), "bias needs more than 32 bits"),
    (
        lambda g, x: g.matmul(x, W, weight_fraction_bits=8, fraction_bits=25, name="t"),
        r"its result has scale .*, which must be 2\*\*0 to 2\*\*32 times the scale .* of its sums",
    ),
    (lambda g, x: g.matmul(x, W, scale=0.3, name="t"), "result has scale 0.3, which must be"),
    (lambda g, x: g.matmul(x, W, scale=0.5, fraction_bits=1, name="t"), "give either fraction_b"),
    (lambda g, x: g.matmul(x, W, zero_point=1, name="t"), "int16 needs a power of two and zero"),
    (lambda g, x: g.matmul(x, W, name="t", into="x"), "shape .* but 'x' is declared as"),
    (lambda g, x: g.matmul(x, W, name="x"), "the graph already has a tensor 'x'"),
    (
        lambda g, x: g.matmul(x, np.eye(4), name="t", into="x", fraction_bits=3),
        "the format of its result is that of 'x'",
    ),
    (lambda g, x: g.conv(x, K, name="t"), "'x' must be an image"),
    (lambda g, x: g.conv(image(g, name="i"), K, groups=2, name="t"), "in 2 groups do not suit"),
    (lambda g, x: g.conv(image(g, 2, name="i"), K, name="t"), "window 3 x 3 is larger than"),
    (lambda g, x: g.conv_transpose(x, K, name="t"), "'x' must be an image"),
    (lambda g, x: g.add(x, image(g, name="i"), name="t"), "must have equal shapes, or be images"),
    (
        lambda g, x: g.add(x, g.input("b", (1, 4), fraction_bits=11), name="t"),
        "int16 tensors are added on one scale",
    ),
    (
        lambda g, x: g.add(x, g.input("b", (1, 4), bits=8, scale=0.1), name="t"),
        "'b' is int8 but 't' is int16; all its tensors must have one type",
    ),
    (lambda g, x: g.dot(x, x, name="t"), r"'x' \(1, 4\) cannot be multiplied by 'x' \(1, 4\)"),
    (lambda g, x: g.dot(x, x, transpose_b=True, factor=1 / 3, name="t"), "2\\*\\*0 to 2\\*\\*32"),
    (lambda g, x: g.function(x, "sine", name="t"), "there is no function 'sine', but sigmoid, "),
    (
        lambda g, x: g.softmax_rows(g.input("i", (3,), fraction_bits=16), name="t"),
        "its fraction_bits must be from 0 to 15, not 16",
    ),
    (
        lambda g, x: g.softmax_rows(g.input("i", (3,), bits=8, scale=1e-9), name="t"),
        "softmax needs an input scale greater than",
    ),
    (lambda g, x: g.upsample(x, name="t"), "'x' must be an image"),
    (lambda g, x: g.upsample(image(g, name="i"), 0, name="t"), "factor must be at least 1"),
    (
        lambda g, x: g.max_pool(image(g, name="i"), fraction_bits=3, name="t"),
        "'i' has scale 0.0009765625 and zero point 0, its result 0.125 and 0; it only moves",
    ),
    (lambda g, x: g.reshape(x, (5,), name="t"), r"4 elements, which do not fill \(5,\)"),
    (lambda g, x: g.transpose(x, (0,), name="t"), "does not permute"),
    (lambda g, x: g.slice(x, (0, 2), (1, 5), name="t"), "reaches outside 'x'"),
    (lambda g, x: g.slice(x, (0,), (1, 5), name="t"), "must suit each other"),
    (lambda g, x: g.concat([], 0, name="t"), "it has no inputs"),
    (lambda g, x: g.concat([x], 2, name="t"), "'x' .* has no axis 2"),
    (lambda g, x: g.pad(x, ((0, 1),), name="t"), "it pads 1 axes"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_a_mistake_is_one_line_that_names_the_task(g, call, message):
    x = g.input("x", (1, 4), fraction_bits=12)
    with pytest.raises(UserError, match=message) as caught:
        call(g, x)
    assert str(caught.value).startswith("task '")
    assert "\n" not in str(caught.value)


def test_names_are_unique(g):
    x = g.input("x", (1, 4), fraction_bits=12)
    g.matmul(x, W, name="t")
    with pytest.raises(UserError, match="task 't': the graph already has a task of this name"):
        g.matmul(x, W, name="t")
    with pytest.raises(UserError, match="tensor 'x': the graph already has one of this name"):
        g.input("x", (3,), fraction_bits=1)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "tensor 'x': give either fraction_bits or scale"),
        ({"fraction_bits": 1, "scale": 1.0}, "tensor 'x': give either fraction_bits or scale"),
        ({"scale": 0.3}, "int16 needs a power of two"),
        ({"scale": 0.3, "bits": 8, "zero_point": 200}, "zero point 200, not an int8"),
        ({"scale": 0.3, "bits": 4}, "'x' has 4 bits; it must have 8 or 16"),
    ],
)
def test_an_impossible_input_is_refused(g, form, message):
    with pytest.raises(UserError, match=message):
        g.input("x", (3,), **form)


def test_an_unknown_output_is_refused(g):
    with pytest.raises(UserError, match="output of graph 'g': 'y' is no tensor of graph 'g'"):
        g.output("y")


def test_scales_too_far_apart_to_add_are_refused(g):
    a = g.input("a", (3,), bits=8, scale=1.0)
    with pytest.raises(UserError, match="task 't': an output scale of 1e-09 must not be so much"):
        g.add(a, a, scale=1e-9, name="t")
