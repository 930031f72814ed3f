"""Accelerator: registers, sequencers, units, buffers, and the wires between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .array import Array
from .axi import axi4, axi4_lite
from .config import CONSTANTS, CORE_UNITS, TENSORS, Config, numbered
from .core import Core
from .crossbar import Crossbar
from .epilogue import Epilogue
from .fetch import Fetch
from .gather import Gather, beat_layout
from .lanes import lane_products, shared_lane
from .loader import Loader
from .loops import Loops
from .packer import Packer
from .product import products
from .registers import Registers
from .send import Send
from .sequencer import Sequencer
from .softmax import Softmax
from .tile import Tile
from .unrolled.graph import AdderGraph
from .unrolled.layer import UnrolledArray
from .words import Fields, word_fields

__all__ = ["Accelerator", "Contents", "CoreContents"]

PORTS = ("gather", "residual", "store")
"""Of a core at the crossbar."""


@dataclass(frozen=True)
class CoreContents:
    """First contents of a core's constant memories, as packed words; and where weights are the
    circuit, the product with them and the registers before each of its rows."""

    weights: Sequence[int] = ()
    bias: Sequence[int] = ()
    scale: Sequence[int] = ()
    table: Sequence[int] = ()
    exponent: Sequence[int] = ()
    product: AdderGraph | None = None
    stages: Sequence[int] = ()


@dataclass(frozen=True)
class Contents:
    """First contents of the memories, as packed words; programs only where they are ROM, and in
    loops where that is much smaller."""

    programs: Mapping[str, Sequence[int] | Loops] = field(default_factory=dict)
    cores: tuple[CoreContents, ...] = ()


@dataclass(frozen=True)
class _Path:
    """The units of one core."""

    gather: Gather
    packer: Packer
    core: Core
    array: Array | UnrolledArray
    epilogue: Epilogue


class Accelerator(wiring.Component):
    """The machine.

    Parameters
    ----------
    config
        Its sizes.
    fields
        The fields of each unit's words; None for those of a machine that takes any program.
    contents
        First contents of its memories. A machine that is not loadable has its programs here.

    Members
    -------
    s_axil : AXI4-Lite slave, the register map of :mod:`rtl.register_map`
    m_axi0, ... : AXI4 masters, ``config.channels`` of them; only the first one writes
    throttle : a bit per unit of ``config.units`` that holds it; only where ``config.throttled``
    """

    s_axil: Any
    throttle: Signal

    def __init__(
        self,
        config: Config,
        *,
        fields: Mapping[str, Fields] | None = None,
        contents: Contents | None = None,
    ):
        self.config = config
        self.fields = dict(fields) if fields is not None else word_fields(config)
        self._contents = contents if contents is not None else Contents()
        if not config.loadable and set(self._contents.programs) != set(config.units):
            raise ValueError(f"contents.programs must name {config.units} where programs are ROM")
        ports: dict = {"s_axil": Out(axi4_lite())}
        for channel in range(config.channels):
            ports[f"m_axi{channel}"] = Out(axi4(config.axi_bytes))
        if config.throttled:
            ports["throttle"] = In(len(config.units))
        super().__init__(ports)

    def shared(self) -> dict[str, wiring.Component]:
        """Modules that are emitted once and instantiated many times, by their Verilog name."""
        modules, widths = Tile.shared(*self.config.cores), set()
        for index, core in enumerate(self.config.cores):
            modules[numbered("lane", index)] = shared_lane(core)
            widths |= lane_products(core)
            if core.softmax_groups and core.element_bytes == 1:
                widths |= Softmax.PRODUCTS
        return modules | products(widths)

    @staticmethod
    def load_widths(config: Config, fields: Mapping[str, Fields]) -> dict[str, int]:
        """Word width of each memory that the loader writes, in the order of LOAD_SELECT.

        ``counts`` is words per unit.
        """
        widths = {}
        for index, core in enumerate(config.cores):
            weights = {} if core.product_words else {"weights": core.weight_word_bits}
            memories = weights | Epilogue.widths(core)
            widths |= {numbered(name, index): width for name, width in memories.items()}
        widths["counts"] = 16
        return widths | {unit: fields[unit].width for unit in config.units}

    def elaborate(self, platform):
        m = Module()
        config, contents = self.config, self._contents
        m.submodules.registers = registers = Registers()
        m.submodules.crossbar = crossbar = Crossbar(config)
        paths = [self._path(m, index) for index in range(config.core_count)]
        m.submodules.send = send = Send(config, self.fields["send"])
        fetches = self._fetches(m)
        own = (unit for path in paths for unit in (path.gather, path.core, path.epilogue))
        units = dict(zip(config.units, (*own, send, *fetches), strict=True))

        sequencers = {}
        for name, unit in units.items():
            sequencers[name] = sequencer = Sequencer(
                self.fields[name].width,
                words=None if config.loadable else contents.programs[name],
                depth=config.program_words,
            )
            m.submodules[f"{name}_sequencer"] = sequencer
            wiring.connect(m, sequencer.o, unit.i)
            m.d.comb += [sequencer.start.eq(registers.start), unit.clear.eq(registers.start)]
            if config.throttled:
                m.d.comb += unit.hold.eq(self.throttle[config.units.index(name)])
        starting = Signal()
        m.d.sync += starting.eq(registers.start)
        finished = ~starting & send.idle
        failed = send.error
        for fetch in fetches:
            finished &= fetch.idle
            failed |= fetch.error
        for sequencer in sequencers.values():
            finished &= sequencer.idle
        stalled = Cat(path.core.i.valid & ~path.core.valid for path in paths).any()
        m.d.comb += [
            registers.finished.eq(finished),
            registers.failed.eq(failed),
            send.regions.eq(registers.regions),
        ]
        m.d.sync += registers.stalled.eq(stalled)  # counted a cycle later
        wiring.connect(m, wiring.flipped(self.s_axil), registers.axi)
        self._connect_memory(m, fetches, send)
        for index, path in enumerate(paths):
            self._connect_path(m, crossbar, index, path)
        stored = [path.epilogue.stored for path in paths]
        gathered = [path.gather.gathered for path in paths]
        for path in paths:
            m.d.comb += [
                path.gather.stored.eq(Cat(stored)),
                path.gather.fetched.eq(fetches[TENSORS].fetched),
                path.core.fetched.eq(fetches[CONSTANTS].fetched),
                path.epilogue.sent.eq(send.sent),
                path.epilogue.fetched.eq(Cat(fetch.fetched for fetch in fetches)),
                path.epilogue.all_stored.eq(Cat(stored)),
                path.epilogue.all_gathered.eq(Cat(gathered)),
            ]
        for fetch in fetches:
            m.d.comb += [
                fetch.regions.eq(registers.regions),
                fetch.gathered.eq(Cat(gathered)),
                fetch.passed.eq(Cat(path.core.passed for path in paths)),
                fetch.stored.eq(Cat(stored)),
                fetch.sent.eq(send.sent),
            ]
        wiring.connect(m, fetches[TENSORS].store, crossbar.fetch)
        wiring.connect(m, send.request, crossbar.send)
        m.d.comb += [
            send.stored.eq(Cat(stored)),
            send.data.eq(crossbar.send_data),
        ]
        self._connect_constants(m, registers, sequencers, paths, fetches[CONSTANTS])

        # What a bench may watch: every write of an epilogue, at the top level.
        for index, path in enumerate(paths):
            store = path.epilogue.store
            trace = {
                "store_valid": store.valid,
                "store_buffer": store.payload.buffer,
                "store_address": store.payload.address,
                "store_count": store.payload.count,
                "store_data": store.payload.data,
            }
            for name, value in trace.items():
                watched = Signal(value.shape(), name=numbered(name, index), attrs={"keep": 1})
                m.d.comb += watched.eq(value)
        return m

    def _path(self, m: Module, index: int) -> _Path:
        """The units of a core."""
        config = self.config.cores[index]
        cores = self._contents.cores
        contents = cores[index] if cores else CoreContents()
        fields = {name: self.fields[numbered(name, index)] for name in CORE_UNITS}
        path = _Path(
            gather=Gather(config, fields["gather"], core=index),
            packer=Packer(config),
            core=Core(config, fields["core"]),
            array=self._array(config, contents, index),
            epilogue=Epilogue(
                config,
                fields["epilogue"],
                bias=contents.bias,
                scale=contents.scale,
                table=contents.table,
                exponent=contents.exponent,
                lane=numbered("lane", index),
            ),
        )
        for name, unit in vars(path).items():
            m.submodules[numbered(name, index)] = unit
        return path

    def _array(self, config: Config, contents: CoreContents, index: int) -> Array | UnrolledArray:
        """What makes the sums of a core."""
        if config.product_words:
            if contents.product is None:
                raise ValueError(f"contents.cores[{index}] must have a product")
            return UnrolledArray(config, contents.product, contents.stages)
        writable = config.loadable or config.streamed
        tile = numbered("tile", index)
        return Array(config, weights=contents.weights, writable=writable, tile=tile)

    def _fetches(self, m: Module) -> list[Fetch]:
        """The fetch unit of each channel."""
        config = self.config
        channels = range(config.channels)
        fetches = []
        for name, channel in zip(config.fetchers, channels, strict=True):
            fetch = Fetch(
                config,
                self.fields[name],
                tensors=channel == channels[TENSORS],
                constants=config.streamed and channel == channels[CONSTANTS],
            )
            m.submodules[name] = fetch
            fetches.append(fetch)
        return fetches

    def _connect_memory(self, m: Module, fetches: Sequence[Fetch], send: Send) -> None:
        """AXI4 masters: reads are the fetch units', writes the send unit's on the first of them."""
        signature = axi4(self.config.axi_bytes)
        for channel, fetch in enumerate(fetches):
            port = getattr(self, f"m_axi{channel}")
            for name, member in signature.members.items():
                reads = name[0] == "r" or name.startswith("ar")
                outer, inner = getattr(port, name), getattr((fetch if reads else send).axi, name)
                if reads or fetch is fetches[TENSORS]:
                    m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
                elif member.flow is Out:
                    m.d.comb += outer.eq(0)

    def _connect_path(self, m: Module, crossbar: Crossbar, index: int, path: _Path) -> None:
        """Buffers to gather to packer to array to epilogue to buffers."""
        config = self.config.cores[index]
        gather, packer, core = path.gather, path.packer, path.core
        array, epilogue = path.array, path.epilogue
        ports = {name: getattr(crossbar, numbered(name, index)) for name in PORTS}
        wiring.connect(m, gather.request, ports["gather"])
        accepted = Signal()
        m.d.comb += accepted.eq(gather.request.valid & gather.request.ready)
        shift = (config.word_bytes - 1).bit_length()
        beat = Cat(gather.beat, gather.request.payload.address[:shift])
        valid = accepted
        for stage in range(Crossbar.READ_LATENCY + 1):
            later = Signal(len(beat), name=numbered(f"beat_{stage}_", index), reset_less=True)
            later_valid = Signal(name=numbered(f"beat_valid_{stage}_", index))
            m.d.sync += [later.eq(beat), later_valid.eq(valid)]
            if stage == Crossbar.READ_LATENCY:
                place = beat[len(gather.beat.as_value()) :]
                window = Signal(8 * config.reach, name=numbered("window", index), reset_less=True)
                data = getattr(crossbar, f"{numbered('gather', index)}_data")
                m.d.sync += window.eq(data >> (place << 3))
                m.d.comb += packer.bytes.eq(window)
            beat, valid = later, later_valid
        packed = Signal(beat_layout(config))
        m.d.comb += [
            packed.eq(beat[: len(gather.beat.as_value())]),
            packer.valid.eq(valid),
            packer.beat.eq(packed),
            packer.claim.eq(gather.claim),
            gather.room.eq(packer.room),
            packer.released.eq(core.released),
            core.written.eq(packer.written),
            core.popped.eq(epilogue.popped),
            array.valid.eq(core.valid),
            array.step.eq(core.step),
            array.row_enable.eq(packer.row_enable),
            array.bank_address.eq(packer.bank_address),
            array.bank_data.eq(packer.bank_data),
            epilogue.result_valid.eq(array.result_valid),
            epilogue.result.eq(array.result),
        ]
        if isinstance(array, Array) and config.patterns:
            m.d.comb += [
                core.tag_enable.eq(packer.segment_enable),
                core.tag.eq(packer.segment_tag),
                array.push.eq(core.push),
                array.segment_enable.eq(packer.segment_enable),
                array.segment_address.eq(packer.segment_address),
                array.segment_data.eq(packer.segment_data),
            ]
        if config.residual:
            data = getattr(crossbar, f"{numbered('residual', index)}_data")
            wiring.connect(m, epilogue.residual, ports["residual"])
            m.d.comb += epilogue.residual_data.eq(data)
        wiring.connect(m, epilogue.store, ports["store"])

    def _connect_constants(self, m: Module, registers, sequencers, paths, fetch) -> None:
        """Weights and biases come from the fetch unit, everything from the loader."""
        config = self.config
        writes, fetched = {}, {}
        for index, path in enumerate(paths):
            array, epilogue, word = path.array, path.epilogue, f"core{index}"
            weights, bias = numbered("weights", index), numbered("bias", index)
            writes[bias] = [epilogue.bias_enable, epilogue.bias_address, epilogue.bias_data]
            fetched[bias] = [fetch.bias_enable[index], fetch.bias_address, fetch.bias_data[word]]
            if isinstance(array, Array):
                writes[weights] = [array.weight_enable, array.weight_address, array.weight_data]
                fetched[weights] = [
                    fetch.weight_enable[index],
                    fetch.weight_address,
                    fetch.weight_data[word],
                ]
        if not config.loadable:
            for name, ports in writes.items():
                m.d.comb += [a.eq(b) for a, b in zip(ports, fetched[name], strict=True)]
            return

        widths = self.load_widths(config, self.fields)
        m.submodules.loader = loader = Loader(widths)
        loads = {name: getattr(loader, f"enable_{name}") for name in widths}
        m.d.comb += [
            loader.select.eq(registers.load_select),
            loader.indexed.eq(registers.load_indexed),
            loader.strobe.eq(registers.load_strobe),
            loader.value.eq(registers.load_data),
        ]
        for name, (enable, address, word) in writes.items():
            m.d.comb += [
                enable.eq(loads[name] | fetched[name][0]),
                address.eq(Mux(loads[name], loader.index, fetched[name][1])),
                word.eq(Mux(loads[name], loader.word, fetched[name][2])),
            ]
        for index, path in enumerate(paths):
            names = Epilogue.widths(config.cores[index])
            for name in [name for name in names if name != "bias"]:
                m.d.comb += [
                    getattr(path.epilogue, f"{name}_enable").eq(loads[numbered(name, index)]),
                    getattr(path.epilogue, f"{name}_address").eq(loader.index),
                    getattr(path.epilogue, f"{name}_data").eq(loader.word),
                ]
        for place, (name, sequencer) in enumerate(sequencers.items()):
            m.d.comb += [
                sequencer.write_enable.eq(loads[name]),
                sequencer.write_address.eq(loader.index),
                sequencer.write_data.eq(loader.word),
            ]
            count = Signal(len(sequencer.count), name=f"{name}_count")
            with m.If(loads["counts"] & (loader.index == place)):
                m.d.sync += count.eq(loader.word)
            m.d.comb += sequencer.count.eq(count)
