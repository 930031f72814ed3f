"""Golden tasks of int16 against plain loops over Python's integers, which cannot overflow."""

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
from sim import golden
from sim.golden_arithmetic import round_once

WIDE = (-32768, 32767)
RELU = (0, 32767)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(16)


def int16(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-32768, 32768, shape, dtype=np.int16)


def run(task: Task, shape: tuple[int, ...], *operands: np.ndarray) -> np.ndarray:
    """The checked result, of ``shape``, of one task on int16 operands of one scale."""
    shapes = {f"x{i}": x.shape for i, x in enumerate(operands)} | {"y": shape}
    tensors = {name: Tensor(name, s, 2.0**-12, 0, bits=16) for name, s in shapes.items()}
    graph = Graph("g", tensors, (task,), task.inputs, ("y",))
    graph.check()
    result = golden.run(graph, dict(zip(task.inputs, operands, strict=True)))["y"]
    assert result.dtype == np.int16
    return result


def shifted(accumulator: int, drop: int, clamp: tuple[int, int] = WIDE) -> int:
    """``clamp((acc + 2**(drop - 1)) >> drop)``."""
    rounded = (int(accumulator) + (1 << drop >> 1)) >> drop
    return max(clamp[0], min(clamp[1], rounded))


def per_channel(rng: np.random.Generator, drops: list[int]) -> dict:
    return {
        "bias": rng.integers(-(1 << 31), 1 << 31, len(drops)).astype(np.int32),
        "multiplier": np.full(len(drops), INT16_MULTIPLIER, np.int32),
        "shift": (1 - np.array(drops)).astype(np.int8),
    }


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("clamp", [WIDE, RELU])
def test_conv(rng, groups, clamp):
    x, w = int16(rng, 1, 7, 6, 4), int16(rng, 6, 3, 2, 4 // groups)
    drops = [0, 1, 16, 17, 18, 32]
    task = Conv(
        "conv", ("x0",), "y", w, **per_channel(rng, drops), stride=(2, 1), dilation=(1, 2),
        padding=(1, 0, 2, 1), groups=groups, clamp=clamp,
    )  # fmt: skip
    y = run(task, (1, 3, 7, 6), x)
    for row, column, o in np.ndindex(3, 7, 6):
        total = int(task.bias[o])
        for ky, kx, c in np.ndindex(3, 2, 4 // groups):
            iy, ix = 2 * row + ky - 1, column + 2 * kx - 2
            if 0 <= iy < 7 and 0 <= ix < 6:
                channel = c + o // (6 // groups) * (4 // groups)
                total += int(w[o, ky, kx, c]) * int(x[0, iy, ix, channel])
        assert y[0, row, column, o] == shifted(total, drops[o], clamp)


@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 0, 1)])
def test_conv_transpose_gathers_what_each_pixel_scatters(rng, stride, padding):
    x, w = int16(rng, 1, 4, 5, 3), int16(rng, 2, 3, 4, 3)
    task = ConvTranspose(
        "up", ("x0",), "y", w, **per_channel(rng, [17, 18]), stride=stride, padding=padding,
        clamp=WIDE,
    )  # fmt: skip
    rows = 3 * stride[0] + 3 - padding[0] - padding[1]
    columns = 4 * stride[1] + 4 - padding[2] - padding[3]
    y = run(task, (1, rows, columns, 2), x)
    for row, column, o in np.ndindex(rows, columns, 2):
        total = int(task.bias[o])
        for ky, kx, c in np.ndindex(3, 4, 3):
            iy, off_y = divmod(row + padding[0] - ky, stride[0])
            ix, off_x = divmod(column + padding[2] - kx, stride[1])
            if not off_y and not off_x and 0 <= iy < 4 and 0 <= ix < 5:
                total += int(w[o, ky, kx, c]) * int(x[0, iy, ix, c])
        assert y[0, row, column, o] == shifted(total, [17, 18][o])


def test_matmul_is_exact_where_accumulators_are_widest():
    x = np.full((2, 11008), -32768, np.int16)
    w = np.full((3, 11008), -32768, np.int16)
    w[1] = 32767
    w[2, ::2] = 0
    more = {
        "bias": np.array([0, 1, -1], np.int32),
        "multiplier": np.full(3, INT16_MULTIPLIER, np.int32),
        "shift": np.full(3, -30, np.int8),
    }
    y = run(MatMul("m", ("x0",), "y", w, **more, clamp=WIDE), (2, 3), x)
    expected = [
        shifted(11008 << 30, 31),
        shifted(-11008 * 32768 * 32767 + 1, 31),
        shifted((5504 << 30) - 1, 31),
    ]
    assert y.tolist() == [expected, expected]


def test_matmul_has_more_columns_than_one_block(rng):
    x, w = int16(rng, 2, 3), int16(rng, 2050, 3)
    task = MatMul("m", ("x0",), "y", w, **per_channel(rng, [17] * 2050), clamp=WIDE)
    y = run(task, (2, 2050), x)
    for m, n in np.ndindex(2, 2050):
        total = sum(int(a) * int(b) for a, b in zip(x[m], w[n], strict=True)) + int(task.bias[n])
        assert y[m, n] == shifted(total, 17)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("drop", [0, 1, 18])
def test_dot(rng, transpose_b, drop):
    a, b = int16(rng, 4, 5), int16(rng, 3, 5) if transpose_b else int16(rng, 5, 3)
    if drop < 2:
        a, b = a >> 10, b >> 10
    task = Dot("d", ("x0", "x1"), "y", INT16_MULTIPLIER, 1 - drop, transpose_b, WIDE)
    y = run(task, (4, 3), a, b)
    for m, n in np.ndindex(4, 3):
        column = b[n] if transpose_b else b[:, n]
        total = sum(int(p) * int(q) for p, q in zip(a[m], column, strict=True))
        assert y[m, n] == shifted(total, drop)


def test_dot_of_int8_rounds_once_about_zero_points(rng):
    a, b = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((3, 6), (6, 2)))
    tensors = {
        "a": Tensor("a", (3, 6), 0.1, 3),
        "b": Tensor("b", (6, 2), 0.1, -7),
        "y": Tensor("y", (3, 2), 0.1, 11),
    }
    task = Dot("d", ("a", "b"), "y", 1234567891, -8)
    graph = Graph("g", tensors, (task,), ("a", "b"), ("y",))
    graph.check()
    y = golden.run(graph, {"a": a, "b": b})["y"]
    assert y.dtype == np.int8
    for m, n in np.ndindex(3, 2):
        total = sum((int(p) - 3) * (int(q) + 7) for p, q in zip(a[m], b[:, n], strict=True))
        rounded = (total * 1234567891 + (1 << 38)) >> 39
        assert y[m, n] == max(-128, min(127, rounded + 11))


@pytest.mark.parametrize("channels", [(3, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("drop", [0, 1, 15])
def test_multiply(rng, channels, drop):
    a, b = (int16(rng, 1, 4, 5, c) for c in channels)
    if drop < 2:
        a, b = a >> 8, b >> 8
    y = run(Multiply("m", ("x0", "x1"), "y", INT16_MULTIPLIER, 1 - drop, WIDE), (1, 4, 5, 3), a, b)
    for row, column, c in np.ndindex(4, 5, 3):
        p, q = (int(x[0, row, column, min(c, x.shape[3] - 1)]) for x in (a, b))
        assert y[0, row, column, c] == shifted(p * q, drop)


def test_add_only_adds_and_saturates(rng):
    a, b = int16(rng, 1, 9, 8, 3), int16(rng, 1, 9, 8, 1)
    y = run(Add("add", ("x0", "x1"), "y", *EQUAL_SCALES, clamp=WIDE), a.shape, a, b)
    np.testing.assert_array_equal(y, np.clip(a.astype(int) + b, *WIDE))
    y = run(Add("add", ("x0", "x1"), "y", *EQUAL_SCALES, clamp=RELU), a.shape, a, a)
    np.testing.assert_array_equal(y, np.clip(2 * a.astype(int), *RELU))


def test_interpolate_reaches_every_value_as_the_formula_says(rng):
    table = int16(rng, 257)
    table[:2] = 32767, -32768
    x = np.arange(-32768, 32768).astype(np.int16)
    y = run(Interpolate("i", ("x0",), "y", "random", table), x.shape, x)
    entries = [int(t) for t in table]
    for q, value in zip(x.tolist(), y.tolist(), strict=True):
        i, r = (q + 32768) >> 8, (q + 32768) & 255
        assert value == (entries[i] * 256 + (entries[i + 1] - entries[i]) * r + 128) >> 8


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upsample(rng, factor):
    x = int16(rng, 1, 3, 4, 2)
    y = run(Upsample("up", ("x0",), "y", factor), (1, 3 * factor, 4 * factor, 2), x)
    for row, column, c in np.ndindex(*y.shape[1:]):
        assert y[0, row, column, c] == x[0, row // factor, column // factor, c]


def test_max_pool_pads_with_the_lowest_value():
    x = np.full((1, 3, 3, 1), -32768, np.int16)
    x[0, 1, 1, 0] = -32767
    y = run(Pool("p", ("x0",), "y", "max", (2, 2), (2, 2), (1, 0, 1, 0), WIDE), (1, 2, 2, 1), x)
    assert y.ravel().tolist() == [-32768, -32768, -32768, -32767]


def test_average_pool_rounds_halves_away_from_zero():
    x = np.array([[-32768, -32767], [32767, 32766]], np.int16).reshape(1, 2, 2, 1)
    y = run(Pool("p", ("x0",), "y", "average", (1, 2), (1, 1), clamp=WIDE), (1, 2, 1, 1), x)
    assert y.ravel().tolist() == [-32768, 32767]


def test_copies_keep_all_sixteen_bits(rng):
    x, z = int16(rng, 1, 4, 6, 2), int16(rng, 1, 4, 6, 2)
    pads = ((0, 0), (1, 0), (0, 2), (0, 0))
    padded = run(Pad("p", ("x0",), "y", pads, -300), (1, 5, 8, 2), x)
    np.testing.assert_array_equal(padded[:, 1:, :6], x)
    assert (padded[:, 0] == -300).all()
    joined = run(Concat("c", ("x0", "x1"), "y", 3), (1, 4, 6, 4), x, z)
    np.testing.assert_array_equal(joined[..., 2:], z)
    part = run(Slice("s", ("x0",), "y", (0, 1, 0, 1), (1, 1, 2, 1)), (1, 3, 3, 1), x)
    np.testing.assert_array_equal(part, x[:, 1:, ::2, 1:])
    turned = run(Transpose("t", ("x0",), "y", (0, 2, 3, 1)), (1, 6, 2, 4), x)
    np.testing.assert_array_equal(turned, x.transpose(0, 2, 3, 1))
    flat = run(Reshape("r", ("x0",), "y"), (1, 48), x)
    np.testing.assert_array_equal(flat, x.reshape(1, 48))


@pytest.mark.parametrize(
    ("multiplier", "shift"),
    [(INT16_MULTIPLIER, 1), (INT16_MULTIPLIER, -31), (INT16_MULTIPLIER, 9), (1234567891, -8),
     (2147483647, 0), (1 << 20, 5), (0, 3), (3 << 29, 30), (INT16_MULTIPLIER, 30)],
)  # fmt: skip
def test_rounding_once_is_exact(rng, multiplier, shift):
    bits = 46 if multiplier == INT16_MULTIPLIER and shift < 9 else 30
    bits = 20 if shift == 30 else bits
    x = rng.integers(-(1 << bits), 1 << bits, 500)
    right, left = max(-shift, 0), max(shift, 0)
    y = round_once(x, multiplier, shift)
    for q, value in zip(x.tolist(), y.tolist(), strict=True):
        assert value == ((q << left) * multiplier + (1 << (30 + right))) >> (31 + right)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"input 'x0' is missing; pass an int16 array \(3,\)"),
        ({"x0": np.zeros(3, np.int8)}, "input 'x0' must be int16, not int8"),
        ({"x0": np.zeros(4, np.int16)}, r"input 'x0' must have shape \(3,\), not \(4,\)"),
        ({"x1": np.zeros(3, np.int16)}, "'x1' is not an input of graph 'g'"),
    ],
)
def test_inputs_are_of_the_tensors_type(inputs, message):
    tensors = {n: Tensor(n, (3,), 0.5, 0, bits=16) for n in ("x0", "y")}
    graph = Graph("g", tensors, (Reshape("r", ("x0",), "y"),), ("x0",), ("y",))
    with pytest.raises(UserError, match=message):
        golden.run(graph, inputs)
