"""UnrolledArray: a product with constants in the place of an array and its weights."""

from collections.abc import Sequence

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config, bits_for
from ..core import step_layout
from ..drain import drain
from ..rings import PATCH_LATENCY, patch_rings
from .graph import AdderGraph
from .product import ConstantProduct

__all__ = ["UnrolledArray"]


class UnrolledArray(wiring.Component):
    """A core's array, where the core does one task and its weights are the circuit.

    The words of a window are read from the patch ring as the core's steps say, one a cycle, and
    gathered side by side; with a pass's last step they enter the product, whose outputs leave group
    by group as an array's sums do. Initiation interval: the words of a window, or its groups of
    outputs if they are more.

    Never stalls: :class:`~rtl.core.Core` issues only what can be taken.

    Parameters
    ----------
    config
        With ``product_words`` and ``product_latency``.
    graph
        With an input for every element of the window, in its order, and an output for each column
        that is used.
    stages
        As of :class:`~rtl.unrolled.product.ConstantProduct`.

    Members
    -------
    valid, step, row_enable, bank_address, bank_data, result_valid, result
        As of :class:`~rtl.array.Array`.

    Raises
    ------
    ValueError
        If the product has another latency, or more inputs or outputs than the core.
    """

    valid: Signal
    step: data.View
    row_enable: data.View
    bank_address: data.View
    bank_data: data.View
    result_valid: Signal
    result: Signal

    def __init__(self, config: Config, graph: AdderGraph, stages: Sequence[int]):
        self._config = config
        self._product = ConstantProduct(graph, stages=stages, registered=True)
        self._inputs, self._outputs = len(graph.inputs), len(graph.outputs)
        if self._product.latency != config.product_latency:
            raise ValueError(f"product_latency must be {self._product.latency}")
        if self._inputs > config.product_words * config.depth or self._outputs > config.cols:
            raise ValueError(
                f"a product of {self._inputs} inputs and {self._outputs} outputs does not fit "
                f"{config.product_words} words of {config.depth} and {config.cols} columns"
            )
        super().__init__(
            {
                "valid": In(1),
                "step": In(step_layout(config)),
                "row_enable": In(data.ArrayLayout(2, config.rows)),
                "bank_address": In(data.ArrayLayout(bits_for(config.patch_words // 2), 2)),
                "bank_data": In(data.ArrayLayout(config.element_bits * config.depth, 2)),
                "result_valid": Out(1),
                "result": Out(config.accumulator_bits * config.lanes),
            }
        )

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles from a pass's last step to its first result group."""
        return PATCH_LATENCY + config.product_latency + 2

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.product = product = self._product
        (word,) = patch_rings(
            m, config, self.step.patch, self.row_enable, self.bank_address, self.bank_data
        )

        # The word of the last step enters the product with those held back from the steps before.
        under_way = Cat(self.valid, self.valid & self.step.last)
        for stage in range(PATCH_LATENCY):
            later = Signal(2, name=f"step_{stage}")
            m.d.sync += later.eq(under_way)
            under_way = later
        held = Signal(len(word) * (config.product_words - 1), reset_less=True)
        window = Cat(held, word)
        if len(held):
            with m.If(under_way[0]):
                m.d.sync += held.eq(window[len(word) :])
        bits = config.element_bits
        for k in range(self._inputs):
            element = window[k * bits : (k + 1) * bits].as_signed()
            m.d.comb += product.i[k].eq(element)

        # Sums stay until the next pass's, which is as far behind as it takes to read them.
        leaves = under_way[1]
        for stage in range(config.product_latency):
            later = Signal(name=f"enters_{stage}")
            m.d.sync += later.eq(leaves)
            leaves = later
        sums = Signal(config.cols * config.accumulator_bits, reset_less=True)
        with m.If(leaves):
            for k in range(self._outputs):
                place = sums.word_select(k, config.accumulator_bits)
                m.d.sync += place.eq(product.o[k])
        wide = config.accumulator_bits * config.lanes
        groups = [sums[g * wide : (g + 1) * wide] for g in range(config.groups)]
        ends = self.valid & self.step.last
        drained = drain(m, config, self.step, ends, self.latency(config), groups)
        m.d.comb += [self.result_valid.eq(drained[0]), self.result.eq(drained[1])]
        return m
