"""Array: patch rings and weight memories at the edges, tiles between, results out in order."""

from collections.abc import Sequence

from amaranth import Cat, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .core import step_layout
from .drain import drain
from .memory import Memory
from .rings import PATCH_LATENCY, patch_rings
from .tile import Tile
from .windows import Windows

__all__ = ["Array"]


class Array(wiring.Component):
    """``rows`` x ``cols`` output-stationary elements, systolic by rows and column groups.

    A row's patch ring and a group's weight memory sit at the array's edges and are *addressed*
    systolically: addresses and control move one row or one group a cycle, so that operands meet
    without skew registers. The finished sums leave in the order of rows, then groups, one group of
    ``lanes`` sums a cycle, just before the next pass could overwrite them.

    Never stalls: :class:`~rtl.core.Core` issues only what can be taken.

    Members
    -------
    valid, step : from the core
    row_enable, bank_address, bank_data : from the packer
    push, segment_enable, segment_address, segment_data : of segments, where there are patterns
    weight_enable, weight_address, weight_data : writes whole weight words
    result_valid, result : a group of ``lanes`` sums, :meth:`latency` cycles after the last step
        for the first group of a pass, one a cycle from there on
    """

    valid: Signal
    step: data.View
    row_enable: data.View
    bank_address: data.View
    bank_data: data.View
    push: Signal
    segment_enable: Signal
    segment_address: Signal
    segment_data: Signal
    weight_enable: Signal
    weight_address: Signal
    weight_data: Signal
    result_valid: Signal
    result: Signal

    PATCH_LATENCY = PATCH_LATENCY

    def __init__(
        self,
        config: Config,
        *,
        weights: Sequence[int] = (),
        writable: bool = True,
        tile: str = "tile",
    ):
        self._config, self._weights, self._writable = config, weights, writable
        self._tile = tile
        segments: dict = {}
        if config.patterns:
            segments = {
                "push": In(1),
                "segment_enable": In(1),
                "segment_address": In(bits_for(config.patch_words)),
                "segment_data": In(config.element_bits * config.segment),
            }
        super().__init__(
            segments
            | {
                "valid": In(1),
                "step": In(step_layout(config)),
                "row_enable": In(data.ArrayLayout(2, config.rows)),
                "bank_address": In(data.ArrayLayout(bits_for(config.patch_words // 2), 2)),
                "bank_data": In(data.ArrayLayout(config.element_bits * config.depth, 2)),
                "weight_enable": In(1),
                "weight_address": In(bits_for(config.weight_words)),
                "weight_data": In(config.weight_word_bits),
                "result_valid": Out(1),
                "result": Out(config.accumulator_bits * config.lanes),
            }
        )

    @classmethod
    def latency(cls, config: Config) -> int:
        """Cycles from a pass's last step to its first result group."""
        return cls.PATCH_LATENCY + Tile.latency(config) + 1

    def _own_operands(self, m: Module, shared) -> Signal:
        """Operands of the one row's columns: each its own, or all of them the same."""
        config = self._config
        m.submodules.windows = windows = Windows(config)
        m.d.comb += [
            windows.write_enable.eq(self.segment_enable),
            windows.write_address.eq(self.segment_address),
            windows.write_data.eq(self.segment_data),
            windows.read_address.eq(self.step.patch),
            windows.push.eq(self.push),
            windows.own.eq(self.step.segment),
            windows.pattern.eq(self.step.pattern),
            windows.shared.eq(shared),
        ]
        return windows.operands

    def _weight_memories(self, m: Module) -> list:
        """Read data of each group's weights, in step with the address as it moves right."""
        config = self._config
        width = config.weight_bits * config.lanes * config.depth
        address, groups = self.step.weight, []
        for g in range(config.groups):
            mask = (1 << width) - 1
            ram = Memory(
                width,
                depth=config.weight_words,
                init=[(word >> (g * width)) & mask for word in self._weights],
                writable=self._writable,
                blank=config.streamed and not config.loadable,
                style="block",
            )
            m.submodules[f"weights_{g}"] = ram
            m.d.comb += [
                ram.read_address.eq(address),
                ram.write_enable.eq(self.weight_enable),
                ram.write_address.eq(self.weight_address),
                ram.write_data.eq(self.weight_data[g * width : (g + 1) * width]),
            ]
            groups.append(ram.read_data)
            if g + 1 < config.groups:
                later = Signal.like(address, name=f"weight_address_{g + 1}")
                m.d.sync += later.eq(address)
                address = later
        return groups

    def elaborate(self, platform):
        m = Module()
        config = self._config
        activations = patch_rings(
            m, config, self.step.patch, self.row_enable, self.bank_address, self.bank_data
        )
        weights = self._weight_memories(m)
        if config.patterns:
            activations = [self._own_operands(m, activations[0])]

        control = Cat(self.valid, self.step.first, self.step.last, self.step.maximum)
        for stage in range(self.PATCH_LATENCY):
            later = Signal(4, name=f"step_{stage}")
            m.d.sync += later.eq(control)
            control = later

        lanes, wide = config.lanes, config.accumulator_bits
        results = []
        below: list[dict[str, Signal] | None] = [None] * config.groups
        for r in range(config.rows):
            left = (control, activations[r])
            for g in range(config.groups):
                out = {
                    "control": Signal(4, name=f"control_{r}_{g}"),
                    "a": Signal(Tile.operand_bits(config), name=f"a_{r}_{g}"),
                    "b": Signal(config.weight_bits * lanes * config.depth, name=f"b_{r}_{g}"),
                    "result": Signal(wide * lanes, name=f"result_{r}_{g}"),
                }
                up = below[g]
                # Control enters at the corner and moves along with the operands, right then down.
                steer = left[0] if g or up is None else up["control"]
                names = ("valid", "first", "last", "maximum")
                m.submodules[f"tile_{r}_{g}"] = Instance(
                    self._tile,
                    i_clk=ClockSignal(),
                    i_rst=ResetSignal(),
                    **{f"i_{n}": steer[i] for i, n in enumerate(names)},
                    **{f"o_{n}_o": out["control"][i] for i, n in enumerate(names)},
                    i_a=left[1],
                    i_b=weights[g] if up is None else up["b"],
                    o_a_o=out["a"],
                    o_b_o=out["b"],
                    o_result=out["result"],
                )
                left = (out["control"], out["a"])
                below[g] = out
                results.append(out["result"])

        ends = self.valid & self.step.last
        drained = drain(m, config, self.step, ends, self.latency(config), results)
        m.d.comb += [self.result_valid.eq(drained[0]), self.result.eq(drained[1])]
        return m
