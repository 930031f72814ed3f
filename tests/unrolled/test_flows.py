"""What mappers leave of the registers that a circuit has."""

import numpy as np

from gen.emit import component_verilog
from gen.unrolled.kernels import replicated
from gen.unrolled.search import search
from gen.unrolled.stages import Delay, stages
from intarsia.unrolled_flows import measure
from rtl.unrolled.product import ConstantProduct, passed_source, row_source


def test_an_input_has_registers_of_its_own_for_each_group_of_copies():
    sum_of_two = search(np.ones((2, 1), np.int64), [(0, 15)] * 2, operands=2, modulus_bits=4)
    whole = replicated(sum_of_two, 3, [(0, 1), (1, 2)], together=1)
    chosen = stages(whole, 1, Delay(1, 0))
    block = ConstantProduct(whole, stages=chosen, registered=True)
    figures = measure(
        [component_verilog(block, "block", complete=False), row_source(), passed_source()],
        "ecp5-fmax",
    )
    inputs, ahead, passed, outputs = 3 * 4, 2 * 4, 2 * 4, 2 * 4
    assert figures.ffs == inputs + ahead + passed + outputs
    assert figures.fmax_mhz > 0
