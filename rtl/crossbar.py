"""Crossbar: who reads and who writes which buffer, switched by the schedule words."""

from amaranth import Array as Choice
from amaranth import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .buffer import Buffer
from .config import Config, bits_for, numbered

__all__ = ["Crossbar", "copies", "read_layout", "readers", "write_layout", "writers"]


def readers(config: Config) -> tuple[str, ...]:
    """Ports that read, in falling order of precedence."""
    cores = range(config.core_count)
    return (*(numbered(name, c) for c in cores for name in ("residual", "gather")), "send")


def writers(config: Config) -> tuple[str, ...]:
    """Ports that write, in falling order of precedence."""
    return (*(numbered("store", c) for c in range(config.core_count)), "fetch")


def copies(config: Config, buffer: int) -> tuple[tuple[str, ...], ...]:
    """The ports that read each copy of a buffer.

    The ports of a machine with one core share one copy. With several cores each port has a copy of
    its own, so that none ever waits.
    """
    linked = tuple(name for name in readers(config) if buffer in config.linked(name))
    if config.core_count == 1 or not linked:
        return (linked,)
    return tuple((name,) for name in linked)


def read_layout(config: Config) -> data.StructLayout:
    """A read request."""
    return data.StructLayout({"buffer": config.buffer_bits, "address": config.address_bits})


def write_layout(config: Config) -> data.StructLayout:
    """A write of ``count`` bytes."""
    return data.StructLayout(
        {
            "buffer": config.buffer_bits,
            "address": config.address_bits,
            "count": bits_for(config.word_bytes + 1),
            "data": 8 * config.word_bytes,
        }
    )


class Crossbar(wiring.Component):
    """The buffers, and the links between them and the ports that read and write.

    A copy of a buffer serves one reader and one writer a cycle; every copy takes all writes. The
    schedule keeps the ports of the compute paths apart, so they never wait; a request that meets
    one of higher precedence is held.

    Read data come :attr:`READ_LATENCY` cycles after an accepted request, as two words of which the
    addressed byte lies in the first. A write is visible to requests accepted :attr:`WRITE_LATENCY`
    cycles after it. Links that ``config.links`` does not name are not built.

    Members
    -------
    residual, gather, send : streams of read requests; residual_data, ... the two words
    store, fetch : streams of writes

    Ports of further cores are numbered from 1: ``gather1``, ``store1``.
    """

    send: stream.Interface
    send_data: Signal
    fetch: stream.Interface

    READ_LATENCY = 1 + Buffer.LATENCY + 1
    WRITE_LATENCY = Buffer.WRITE_LATENCY

    def __init__(self, config: Config):
        self._config = config
        ports: dict = {}
        for name in readers(config):
            ports[name] = In(stream.Signature(read_layout(config)))
            ports[f"{name}_data"] = Out(16 * config.word_bytes)
        for name in writers(config):
            ports[name] = In(stream.Signature(write_layout(config)))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        held = {name: Signal(name=f"{name}_held") for name in (*readers(config), *writers(config))}
        reads: dict[str, dict[int, Buffer]] = {name: {} for name in readers(config)}
        for b, words in enumerate(config.buffer_words):
            linked = [name for name in writers(config) if b in config.linked(name)]
            write, enable = self._granted(m, linked, b, "store", held)
            for copy, names in enumerate(copies(config, b)):
                buffer = Buffer(words, word_bytes=config.word_bytes)
                place = f"{b}_{copy}" if copy else f"{b}"
                m.submodules[f"buffer_{place}"] = buffer
                read, _ = self._granted(m, names, b, f"read_{copy}" if copy else "residual", held)
                m.d.comb += [
                    buffer.read_address.eq(read.address),
                    buffer.write_enable.eq(enable),
                    buffer.write_address.eq(write.address),
                    buffer.write_end.eq(write.end),
                    buffer.write_data.eq(write.data),
                ]
                for name in names:
                    reads[name][b] = buffer
        for name, refused in held.items():
            m.d.comb += getattr(self, name).ready.eq(~refused)

        for name, buffers in reads.items():
            chosen = getattr(self, name).payload.buffer
            for stage in range(self.READ_LATENCY - 1):
                later = Signal(config.buffer_bits, name=f"{name}_from_{stage}")
                m.d.sync += later.eq(chosen)
                chosen = later
            output = getattr(self, f"{name}_data")
            read = Signal(16 * config.word_bytes, name=f"{name}_read", reset_less=True)
            m.d.comb += output.eq(read)
            if len(buffers) == 1:
                m.d.sync += read.eq(next(iter(buffers.values())).read_data)
            elif buffers:
                every = range(len(config.buffer_words))
                words = [buffers[b].read_data if b in buffers else 0 for b in every]
                m.d.sync += read.eq(Choice(words)[chosen])
        return m

    def _granted(self, m: Module, names, buffer: int, kind: str, held) -> tuple[data.View, Signal]:
        """The request that is accepted of those of ``names`` for ``buffer``, a cycle later, and
        whether there is one."""
        writes = kind == "store"
        word_bytes = self._config.word_bytes
        members = {"address": self._config.address_bits}
        if writes:
            members |= {"end": bits_for(2 * word_bytes), "data": 8 * word_bytes}
        layout = data.StructLayout(members)
        request = Signal(layout, name=f"{kind}_request_{buffer}", reset_less=True)
        enable = Signal(name=f"{kind}_enable_{buffer}")
        taken = Const(0)
        wants = {}
        for name in names:
            port = getattr(self, name)
            wants[name] = Signal(name=f"{name}_wants_{buffer}")
            m.d.comb += wants[name].eq(port.valid & (port.payload.buffer == buffer))
            with m.If(wants[name] & taken):
                m.d.comb += held[name].eq(1)
            taken = taken | wants[name]
        # Whatever the last of them offers is taken where none wants anything.
        for name in reversed(names):
            port = getattr(self, name)
            with m.If(wants[name] if name != names[-1] else 1):
                m.d.sync += request.address.eq(port.payload.address)
                if writes:
                    place = port.payload.address[: bits_for(word_bytes)]
                    m.d.sync += [
                        request.end.eq(place + port.payload.count),
                        request.data.eq(port.payload.data),
                    ]
        m.d.sync += enable.eq(taken)
        return request, enable
