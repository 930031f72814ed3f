"""Accelerator: registers, sequencers, units, buffers, and the wires between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .array import Array
from .axi import axi4, axi4_lite
from .config import CONSTANTS, TENSORS, Config
from .core import Core
from .crossbar import Crossbar
from .epilogue import Epilogue
from .fetch import Fetch
from .gather import Gather, beat_layout
from .lanes import shared_lane
from .loader import Loader
from .packer import Packer
from .registers import Registers
from .send import Send
from .sequencer import Sequencer
from .tile import Tile
from .words import Fields, word_fields

__all__ = ["Accelerator", "Contents"]


@dataclass(frozen=True)
class Contents:
    """First contents of the memories, as packed words; programs only where they are ROM."""

    programs: Mapping[str, Sequence[int]] = field(default_factory=dict)
    weights: Sequence[int] = ()
    bias: Sequence[int] = ()
    scale: Sequence[int] = ()
    table: Sequence[int] = ()
    exponent: Sequence[int] = ()


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
        return {"tile": Tile(self.config), "lane": shared_lane(self.config)}

    @staticmethod
    def load_widths(config: Config, fields: Mapping[str, Fields]) -> dict[str, int]:
        """Word width of each memory that the loader writes, in the order of LOAD_SELECT.

        ``counts`` is words per unit.
        """
        widths = {
            "weights": config.weight_bits * config.cols * config.depth,
            **Epilogue.widths(config),
            "counts": 16,
        }
        return widths | {unit: fields[unit].width for unit in config.units}

    def elaborate(self, platform):
        m = Module()
        config, contents = self.config, self._contents
        m.submodules.registers = registers = Registers()
        m.submodules.crossbar = crossbar = Crossbar(config)
        m.submodules.gather = gather = Gather(config, self.fields["gather"])
        m.submodules.packer = packer = Packer(config)
        m.submodules.core = core = Core(config, self.fields["core"])
        m.submodules.array = array = Array(
            config, weights=contents.weights, writable=config.loadable or config.streamed
        )
        m.submodules.epilogue = epilogue = Epilogue(
            config,
            self.fields["epilogue"],
            bias=contents.bias,
            scale=contents.scale,
            table=contents.table,
            exponent=contents.exponent,
        )
        m.submodules.send = send = Send(config, self.fields["send"])
        fetches = self._fetches(m)
        units = dict(zip(config.units, (gather, core, epilogue, send, *fetches), strict=True))

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
        m.d.comb += [
            registers.finished.eq(finished),
            registers.stalled.eq(core.i.valid & ~core.valid),
            registers.failed.eq(failed),
            send.regions.eq(registers.regions),
        ]
        wiring.connect(m, wiring.flipped(self.s_axil), registers.axi)
        self._connect_memory(m, fetches, send)
        self._connect_path(m, crossbar, gather, packer, core, array, epilogue)

        m.d.comb += [
            gather.stored.eq(epilogue.stored),
            gather.fetched.eq(fetches[TENSORS].fetched),
            core.fetched.eq(fetches[CONSTANTS].fetched),
            epilogue.sent.eq(send.sent),
            send.stored.eq(epilogue.stored),
        ]
        for channel, fetch in enumerate(fetches):
            m.d.comb += [
                fetch.regions.eq(registers.regions),
                fetch.gathered.eq(gather.gathered),
                fetch.passed.eq(core.passed),
                fetch.stored.eq(epilogue.stored),
                fetch.sent.eq(send.sent),
                epilogue.fetched[channel].eq(fetch.fetched),
            ]
        wiring.connect(m, fetches[TENSORS].store, crossbar.fetch)
        wiring.connect(m, send.request, crossbar.send)
        m.d.comb += send.data.eq(crossbar.send_data)
        self._connect_constants(m, registers, sequencers, array, epilogue, fetches[CONSTANTS])

        # What a bench may watch: every write of the epilogue, at the top level.
        trace = {
            "store_valid": crossbar.store.valid,
            "store_buffer": crossbar.store.payload.buffer,
            "store_address": crossbar.store.payload.address,
            "store_count": crossbar.store.payload.count,
            "store_data": crossbar.store.payload.data,
        }
        for name, value in trace.items():
            watched = Signal(value.shape(), name=name, attrs={"keep": 1})
            m.d.comb += watched.eq(value)
        return m

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

    def _connect_path(self, m: Module, crossbar, gather, packer, core, array, epilogue) -> None:
        """Buffers to gather to packer to array to epilogue to buffers."""
        config = self.config
        wiring.connect(m, gather.request, crossbar.gather)
        accepted = Signal()
        m.d.comb += accepted.eq(gather.request.valid & gather.request.ready)
        shift = (config.word_bytes - 1).bit_length()
        beat = Cat(gather.beat, gather.request.payload.address[:shift])
        valid = accepted
        for stage in range(Crossbar.READ_LATENCY + 1):
            later = Signal(len(beat), name=f"beat_{stage}", reset_less=True)
            later_valid = Signal(name=f"beat_valid_{stage}")
            m.d.sync += [later.eq(beat), later_valid.eq(valid)]
            if stage == Crossbar.READ_LATENCY:
                place = beat[len(gather.beat.as_value()) :]
                window = Signal(8 * config.reach, name="window", reset_less=True)
                m.d.sync += window.eq(crossbar.gather_data >> (place << 3))
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
        if config.patterns:
            m.d.comb += [
                core.tag_enable.eq(packer.segment_enable),
                core.tag.eq(packer.segment_tag),
                array.push.eq(core.push),
                array.segment_enable.eq(packer.segment_enable),
                array.segment_address.eq(packer.segment_address),
                array.segment_data.eq(packer.segment_data),
            ]
        if config.residual:
            wiring.connect(m, epilogue.residual, crossbar.residual)
            m.d.comb += epilogue.residual_data.eq(crossbar.residual_data)
        wiring.connect(m, epilogue.store, crossbar.store)

    def _connect_constants(self, m: Module, registers, sequencers, array, epilogue, fetch) -> None:
        """Weights and biases come from the fetch unit, everything from the loader."""
        config = self.config
        writes = {
            "weights": [array.weight_enable, array.weight_address, array.weight_data],
            "bias": [epilogue.bias_enable, epilogue.bias_address, epilogue.bias_data],
        }
        fetched = {
            "weights": [fetch.weight_enable, fetch.weight_address, fetch.weight_data],
            "bias": [fetch.bias_enable, fetch.bias_address, fetch.bias_data],
        }
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
        for name in [name for name in Epilogue.widths(config) if name not in writes]:
            m.d.comb += [
                getattr(epilogue, f"{name}_enable").eq(loads[name]),
                getattr(epilogue, f"{name}_address").eq(loader.index),
                getattr(epilogue, f"{name}_data").eq(loader.word),
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
