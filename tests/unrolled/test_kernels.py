import numpy as np
import pytest

from gen.errors import UserError
from gen.unrolled.kernels import KERNELS, kernel, numbers, replicated, weights
from gen.unrolled.search import search
from tests.unrolled.matrices import sparse


def convolved(image, filters):
    """Valid convolution of (height, width, channels) with (3, 3, channels, outputs)."""
    height, width = image.shape[0] - 2, image.shape[1] - 2
    taps = (
        image[dy : dy + height, dx : dx + width] @ filters[dy, dx]
        for dy in range(3)
        for dx in range(3)
    )
    return sum(taps)


def test_a_fully_unrolled_convolution_has_every_pixel():
    shape = kernel("conv2d-fu", "tiny")
    w, image = sparse(36, 4, -8, 7, 0, 1), sparse(64, 4, -8, 7, 0, 2).reshape(8, 8, 4)
    y = shape.golden(image.reshape(1, -1), w)
    assert (y.reshape(6, 6, 4) == convolved(image, w.reshape(3, 3, 4, 4))).all()


def test_a_row_of_pixels_at_a_time():
    shape = kernel("conv2d-rp", "S")
    w, image = sparse(72, 8, -8, 7, 0, 1), sparse(64, 8, -8, 7, 0, 2).reshape(8, 8, 8)
    y = shape.golden(image.reshape(8, -1), w)
    assert (y[2:].reshape(6, 6, 8) == convolved(image, w.reshape(3, 3, 8, 8))).all()


def test_a_pixel_at_a_time():
    shape = kernel("conv2d-pw", "S")
    w, image = sparse(288, 64, -8, 7, 0, 1), sparse(625, 32, -8, 7, 0, 2).reshape(25, 25, 32)
    y = shape.golden(image.reshape(625, 32), w).reshape(25, 25, 64)
    assert (y[2:, 2:] == convolved(image, w.reshape(3, 3, 32, 64))).all()


@pytest.mark.parametrize("size", ["S", "L"])
def test_a_line_a_pixel_at_a_time(size):
    shape = kernel("conv1d-pw", size)
    w, line = sparse(*shape.matrix, -8, 7, 0, 1), sparse(32, 64, -8, 7, 0, 2)
    y = shape.golden(line, w)
    golden = sum(line[t : t + 30] @ w[64 * t : 64 * t + 64] for t in range(3))
    assert (y[2:] == golden).all()


def test_products():
    w, a = sparse(16, 16, -8, 7, 0, 1), sparse(16, 16, -8, 7, 0, 2)
    assert (
        kernel("product-fu", "tiny").golden(a.reshape(1, -1), w) == (a @ w).reshape(1, -1)
    ).all()
    assert (kernel("vector", "16").golden(a, w) == a @ w).all()


@pytest.mark.parametrize(
    ("name", "size", "counts"),
    [
        ("product-fu", "tiny", (1, 2, 4, 8, 16)),
        ("conv1d-fu", "mini", (1, 2, 3, 5, 6, 10, 15, 30)),
        ("conv2d-fu", "tiny", (1, 2, 3, 6, 12, 18, 36)),
        ("conv2d-rp", "S", (1,)),  # the window holds earlier vectors
    ],
)
def test_parts_do_the_work_of_the_whole(name, size, counts):
    shape = kernel(name, size)
    w, x = sparse(*shape.matrix, -8, 7, 0, 1), sparse(5, shape.inputs, -8, 7, 0, 2)
    for count in range(1, len(shape.copies) + 1):
        if count not in counts:
            with pytest.raises(ValueError, match=f"{name}/{size} has no {count} parts"):
                shape.parts(count)
            continue
        part, reads = shape.parts(count)
        assert len(reads) == count
        assert all(len(own) == part.inputs for own in reads)
        y = np.hstack([part.golden(x[:, list(own)], w) for own in reads])
        assert (y == shape.golden(x, w)).all()
        assert len(part.copies) % part.line == 0


def test_a_graph_for_each_copy():
    shape = kernel("conv2d-fu", "tiny")
    w, x = sparse(36, 4, -8, 7, 0.5, 1), sparse(10, 256, -8, 7, 0, 2)
    graph = search(w, [(-8, 7)] * 36, rounds=50)
    whole = replicated([graph], 256, shape.copies)
    assert len(whole.rows) == 36 * len(graph.rows)
    assert (whole.values(x) == shape.golden(x, w)).all()


@pytest.mark.parametrize("together", [1, 5, 36])
def test_copies_that_are_far_apart_share_no_reader_of_an_input(together):
    shape = kernel("conv2d-fu", "tiny")
    w, x = sparse(36, 4, -8, 7, 0.5, 1), sparse(10, 256, -8, 7, 0, 2)
    graph = search(w, [(-8, 7)] * 36, rounds=50)
    whole = replicated([graph], 256, shape.copies, together)
    assert sum(not row.passing for row in whole.rows) == 36 * len(graph.rows)
    assert (whole.values(x) == shape.golden(x, w)).all()
    groups = [set() for _ in range(0, 36, together)]
    read = {k: {k} for k in range(256)}  # per value, the inputs or the rows that pass them on
    adders = 0
    for value, row in enumerate(whole.rows, 256):
        if row.passing:
            read[value] = {value}
            continue
        read[value] = set().union(*(read[o.value] for o in row.operands))
        groups[adders // len(graph.rows) // together] |= read[value]
        adders += 1
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_each_of_several_graphs_of_a_copy_has_readers_of_its_own():
    w, x = sparse(36, 4, -8, 7, 0.5, 1), sparse(10, 36, -8, 7, 0, 2)
    graphs = [search(part, [(-8, 7)] * 36, rounds=50) for part in np.array_split(w, 2, axis=1)]
    whole = replicated(graphs, 36, [range(36)], 1)
    assert sum(row.passing for row in whole.rows) == 2 * 36
    assert all(o.value >= 36 for row in whole.rows if not row.passing for o in row.operands)
    assert (whole.values(x) == x @ w).all()


@pytest.mark.parametrize("name", KERNELS, ids="/".join)
def test_every_window_is_whole(name):
    shape = kernel(*name)
    assert all(len(copy) == shape.matrix[0] for copy in shape.copies)
    assert max(map(max, shape.copies)) == shape.inputs * len(shape.delays) - 1


@pytest.mark.parametrize("width", ["1", "2", "4", "8", "mixed"])
@pytest.mark.parametrize("arithmetic", ["exact", "kratos"])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8, 0.95])
def test_weights_have_exactly_their_zeros(arithmetic, width, sparsity):
    kind = numbers(arithmetic, width)
    w = weights((30, 20), kind, sparsity, 1)
    assert np.count_nonzero(w == 0) == round(sparsity * 600)
    most = max(kind.weight_bits)
    if arithmetic == "kratos":
        assert w.min() >= 0
        assert w.max() < 1 << most
    elif most == 1:
        assert set(w[w != 0]) == {-1, 1}
    else:
        assert w.min() >= -(1 << (most - 1))
        assert w.max() < 1 << (most - 1)
    if sparsity == 0 and width == "8" and arithmetic == "exact":
        assert (w.min(), w.max()) == (-128, 127)
    assert (w == weights((30, 20), kind, sparsity, 1)).all()


def test_refusals():
    with pytest.raises(UserError, match=r"^no kernel is called 'vector/7'; there are conv1d-fu/"):
        kernel("vector", "7")
    with pytest.raises(UserError, match=r"^arithmetic is 'exact' or 'kratos', not 'float'$"):
        numbers("float", "8")
    with pytest.raises(UserError, match=r"^width is 1, 2, 4, 8 or mixed, not '3'$"):
        numbers("exact", "3")
    with pytest.raises(UserError, match=r"^sparsity must be from 0 to 1, not 2$"):
        weights((1, 1), numbers("exact", "8"), 2, 1)
