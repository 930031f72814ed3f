"""What mappers leave of the registers that a circuit has."""

import numpy as np
import pytest

from gen.emit import component_verilog
from gen.errors import UserError
from gen.unrolled.kernels import kernel, numbers, replicated, weights
from gen.unrolled.search import search
from gen.unrolled.stages import Delay, stages
from intarsia.unrolled_circuits import pipelined
from intarsia.unrolled_flows import measure
from rtl.unrolled.product import ConstantProduct, passed_source, row_source


def test_an_input_has_registers_of_its_own_for_each_group_of_copies():
    sum_of_two = search(np.ones((2, 1), np.int64), [(0, 15)] * 2, operands=2, modulus_bits=4)
    whole = replicated([sum_of_two], 3, [(0, 1), (1, 2)], together=1)
    chosen = stages(whole, 1, Delay(1, 0))
    block = ConstantProduct(whole, stages=chosen, registered=True)
    figures = measure(
        [component_verilog(block, "block", complete=False), row_source(), passed_source()],
        "ecp5-fmax",
    )
    inputs, ahead, passed, outputs = 3 * 4, 2 * 4, 2 * 4, 2 * 4
    assert figures.ffs == registers(whole, chosen) == inputs + ahead + passed + outputs
    assert figures.fmax_mhz > 0


@pytest.mark.parametrize("name", ["product-fu", "conv2d-fu"])
def test_registers_are_counted_as_the_mapper_counts_them(name):
    made, _ = circuit(name, 10**6)
    counted = registers(made.graph, stages(made.graph, 1, Delay(1, 0)))
    mapped = measure(made.sources, "ecp5").ffs
    assert 0.95 * counted <= mapped <= counted


def test_what_is_too_large_for_a_chip_is_alike_parts_on_several():
    whole, matrix = circuit("conv2d-fu", 10**6)
    room = registers(whole.graph, stages(whole.graph, 1, Delay(1, 0))) - 1
    part, _ = circuit("conv2d-fu", room)
    assert (whole.chips, part.chips) == (1, 2)
    assert 2 * len(part.graph.outputs) == len(whole.graph.outputs)
    assert part.mismatches(numbers("kratos", "4"), matrix, 1) == 0
    wrong = matrix + (np.arange(matrix.size).reshape(matrix.shape) == 0)
    assert part.mismatches(numbers("kratos", "4"), wrong, 1) > 0


def test_a_part_that_is_too_large_is_refused():
    message = "conv2d-fu/tiny does not fit any number of chips with 10 flip-flops each"
    with pytest.raises(UserError, match=message):
        circuit("conv2d-fu", 10)


def test_a_kernel_is_divided_among_as_many_chips_as_are_wanted():
    part, _ = circuit("conv2d-fu", 10**6, chips=6)
    assert part.chips == 6
    message = "does not fit 4 chips .* that divide it evenly are 1, 2, 3, 6, 12, 18, 36"
    with pytest.raises(UserError, match=message):
        circuit("conv2d-fu", 10**6, chips=4)


def registers(graph, chosen):
    return ConstantProduct.registers_of(graph, chosen, True)


def circuit(name, room, chips=None):
    shape, kind = kernel(name, "tiny"), numbers("kratos", "4")
    matrix = weights(shape.matrix, kind, 0.8, 1)
    inputs = [kind.interval] * len(matrix)
    graph = search(matrix, inputs, operands=2, modulus_bits=kind.modulus_bits, rounds=10)
    return pipelined([graph], shape, 0.0, room=room, chips=chips), matrix
