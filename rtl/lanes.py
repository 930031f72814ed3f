"""Lanes: what becomes of a group of sums before it is stored, value by value."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from amaranth import Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import lane, lane16
from .config import Config, bits_for
from .delay import delayed
from .interpolate import SEGMENTS, Interpolate, segment_layout
from .lane import Lane, scale_layout
from .lane16 import Lane16
from .memory import Memory
from .scatter import Scatter
from .words import Fields

__all__ = ["Lanes", "constant_depths", "constant_widths", "lane_products", "shared_lane"]

LOOKUP = 2
"""Cycles of a table of 256 bytes, behind which is chosen whether the word wants it."""


def shared_lane(config: Config) -> wiring.Component:
    """The lane that is emitted once, as the module ``lane``."""
    if config.element_bytes == 1:
        return Lane(config)
    return Lane16(
        config.accumulator_bits, bias_bits=32, add=config.residual, multiply=config.multiply
    )


def lane_products(config: Config) -> set[tuple[int, int]]:
    """Widths of the factors of each :class:`~rtl.product.Product` in a lane."""
    return Lane.products(config) if config.element_bytes == 1 else set()


def constant_widths(config: Config) -> dict[str, int]:
    """Word width of each constant memory of the lanes."""
    if config.element_bytes == 2:
        return {"bias": 32 * config.lanes, "table": segment_layout().size}
    return {"bias": 32 * config.lanes, "scale": scale_layout().size * config.lanes, "table": 8}


def constant_depths(config: Config) -> dict[str, int]:
    """Words of each constant memory of the lanes."""
    depths = {"bias": config.bias_words, "scale": config.scale_words, "table": 256 * config.tables}
    return {name: depths[name] for name in constant_widths(config)}


class Lanes(wiring.Component):
    """A group of ``lanes`` sums in, as many values out, :meth:`latency` cycles after it is taken.

    int8 are requantised by :class:`~rtl.lane.Lane` with a multiplier and a shift per output, and
    may pass a table of 256 entries. int16 are requantised by :class:`~rtl.lane16.Lane16` with one
    shift per word, and may pass :class:`~rtl.interpolate.Interpolate`. Initiation interval 1; never
    stalls.

    Parameters
    ----------
    init
        First contents of the constant memories, by name.
    lane
        The module of :func:`shared_lane`.

    Members
    -------
    word : the epilogue's word in force, until its last group has left
    sums : the group, :attr:`CONSTANT_LATENCY` cycles after it is taken
    bias, scale : words of the constant memories that belong to it, which come as late as
        :class:`~rtl.scatter.Scatter` says; ``scale`` only at int8
    residual : second operands, due :meth:`residual_delay` cycles after the group is taken
    o : the group's values
    {bias,scale,table}_{enable,address,data} : load ports of the constant memories
    """

    word: Signal
    sums: Signal
    bias: Signal
    scale: Signal
    residual: Signal
    o: Signal

    CONSTANT_LATENCY = Scatter.LATENCY + 2

    def __init__(
        self,
        config: Config,
        fields: Fields,
        *,
        init: Mapping[str, Sequence[int]] = MappingProxyType({}),
        lane: str = "lane",
    ):
        self._config, self._fields, self._init, self._lane = config, fields, init, lane
        self._widths, self._depths = constant_widths(config), constant_depths(config)
        ports: dict = {
            "word": In(fields.width),
            "sums": In(config.accumulator_bits * config.lanes),
            "bias": In(bits_for(config.bias_words)),
            "residual": In(config.element_bits * config.lanes),
            "o": Out(config.element_bits * config.lanes),
        }
        if "scale" in self._widths:
            ports["scale"] = In(bits_for(config.scale_words))
        for name, width in self._widths.items():
            ports |= {
                f"{name}_enable": In(1),
                f"{name}_address": In(bits_for(max(2, self._depths[name]))),
                f"{name}_data": In(width),
            }
        super().__init__(ports)

    @classmethod
    def residual_delay(cls, config: Config) -> int:
        """Cycles from taking a group to its second operands."""
        late = Lane16.RESIDUAL_DELAY if config.element_bytes == 2 else Lane.RESIDUAL_DELAY
        return cls.CONSTANT_LATENCY + late

    @classmethod
    def latency(cls, config: Config) -> int:
        """Cycles from taking a group to its values."""
        if config.element_bytes == 2:
            lane = Lane16.latency(add=config.residual, multiply=config.multiply)
            table = Interpolate.LATENCY
        else:
            lane, table = Lane.latency(config), LOOKUP
        return cls.CONSTANT_LATENCY + lane + (table if config.tables else 0)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lanes, wide, bits = config.lanes, config.accumulator_bits, config.element_bits
        w = self._fields.view(self.word)
        bias = self._memory(m, "bias")
        m.d.comb += bias.read_address.eq(self.bias)
        scales = None
        if "scale" in self._widths:
            scales = self._scales(m)

        layout = (lane16 if config.element_bytes == 2 else lane).parameters_layout()
        parameters = Signal(layout)
        for name in layout.members:
            m.d.comb += parameters[name].eq(getattr(w, name))
        values = []
        for i in range(lanes):
            value = Signal(bits, name=f"value_{i}")
            ports = {} if scales is None else scales[i]
            m.submodules[f"lane_{i}"] = Instance(
                self._lane,
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_accumulator=self.sums[wide * i : wide * (i + 1)],
                i_bias=bias.read_data[32 * i : 32 * (i + 1)],
                i_residual=self.residual[bits * i : bits * (i + 1)],
                i_parameters=parameters,
                o_o=value,
                **ports,
            )
            values.append(value)
        if config.tables:
            apply = self._interpolated if config.element_bytes == 2 else self._looked_up
            values = [apply(m, w, value, i) for i, value in enumerate(values)]
        m.d.comb += self.o.eq(Cat(values))
        return m

    def _memory(self, m: Module, name: str, suffix: str = "") -> Memory:
        config = self._config
        ram = Memory(
            self._widths[name],
            depth=self._depths[name],
            init=self._init.get(name, ()),
            writable=config.loadable or (name == "bias" and config.streamed),
        )
        m.submodules[f"{name}_memory{suffix}"] = ram
        m.d.comb += [
            ram.write_enable.eq(getattr(self, f"{name}_enable")),
            ram.write_address.eq(getattr(self, f"{name}_address")),
            ram.write_data.eq(getattr(self, f"{name}_data")),
        ]
        return ram

    def _scales(self, m: Module) -> list[dict]:
        """Ports of each lane for its scale: multipliers and shifts are read as late as they are
        due, for their address is narrower than they are."""
        config, layout = self._config, scale_layout()
        init = self._init.get("scale", ())
        enable, address, data = (getattr(self, f"scale_{n}") for n in ("enable", "address", "data"))
        ports: list[dict] = [{} for _ in range(config.lanes)]
        for port, name, late in (
            ("left", "shift", 0),
            ("multiplier", "multiplier", Lane.MULTIPLIER_DELAY),
            ("right", "shift", Lane.RIGHT_DELAY),
        ):
            start, width = layout[name].offset, layout[name].width
            places = [layout.size * i + start for i in range(config.lanes)]
            mask = (1 << width) - 1
            ram = Memory(
                width * config.lanes,
                depth=self._depths["scale"],
                init=[
                    sum((word >> at & mask) << width * i for i, at in enumerate(places))
                    for word in init
                ],
                writable=config.loadable,
            )
            m.submodules[f"{port}_memory"] = ram
            m.d.comb += [
                ram.read_address.eq(delayed(m, self.scale, late, f"{port}_address")),
                ram.write_enable.eq(enable),
                ram.write_address.eq(address),
                ram.write_data.eq(Cat(data[at : at + width] for at in places)),
            ]
            for i in range(config.lanes):
                ports[i][f"i_{port}"] = _part(ram.read_data, i, config.lanes)
        return ports

    def _looked_up(self, m: Module, w, byte, i: int) -> Signal:
        table = self._memory(m, "table", f"_{i}")
        plain = delayed(m, byte, LOOKUP, f"plain_{i}")
        chosen = Signal(8, name=f"looked_up_{i}")
        m.d.comb += [
            table.read_address.eq(Cat(byte ^ 0x80, w.table)),
            chosen.eq(Mux(w.table_on, table.read_data, plain)),
        ]
        return chosen

    def _interpolated(self, m: Module, w, value, i: int) -> Signal:
        config = self._config
        assert self._depths["table"] == SEGMENTS * config.tables
        unit = Interpolate(
            config.tables, init=self._init.get("table", ()), writable=config.loadable
        )
        m.submodules[f"interpolate_{i}"] = unit
        m.d.comb += [
            unit.i.eq(value),
            unit.on.eq(w.table_on),
            unit.select.eq(w.table),
        ]
        for port in ("enable", "address", "data"):
            m.d.comb += getattr(unit, f"write_{port}").eq(getattr(self, f"table_{port}"))
        return unit.o


def _part(value, i: int, lanes: int):
    width = len(value) // lanes
    return value[width * i : width * (i + 1)]
