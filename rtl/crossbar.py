"""Crossbar: who reads and who writes which buffer, switched by the schedule words."""

from amaranth import Array as Choice
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .buffer import Buffer
from .config import Config, bits_for

__all__ = ["READERS", "WRITERS", "Crossbar", "read_layout", "write_layout"]

READERS = ("residual", "gather", "send")
"""Ports that read, in falling order of precedence."""

WRITERS = ("store", "fetch")
"""Ports that write, in falling order of precedence."""


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

    A buffer serves one reader and one writer a cycle. The schedule keeps the ports of the compute
    path apart, so they never wait; a request that meets one of higher precedence is held.

    Read data come :attr:`READ_LATENCY` cycles after an accepted request, as two words of which the
    addressed byte lies in the first. A write is visible to requests accepted from the next cycle
    on. Links that ``config.links`` does not name are not built.

    Members
    -------
    residual, gather, send : streams of read requests; residual_data, ... the two words
    store, fetch : streams of writes
    """

    residual: stream.Interface
    residual_data: Signal
    gather: stream.Interface
    gather_data: Signal
    send: stream.Interface
    send_data: Signal
    store: stream.Interface
    fetch: stream.Interface

    READ_LATENCY = 1 + Buffer.LATENCY

    def __init__(self, config: Config):
        self._config = config
        ports: dict = {}
        for name in READERS:
            ports[name] = In(stream.Signature(read_layout(config)))
            ports[f"{name}_data"] = Out(16 * config.word_bytes)
        for name in WRITERS:
            ports[name] = In(stream.Signature(write_layout(config)))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        buffers = []
        for b, words in enumerate(config.buffer_words):
            buffer = Buffer(words, word_bytes=config.word_bytes)
            m.submodules[f"buffer_{b}"] = buffer
            buffers.append(buffer)

        for names, members in (
            (READERS, ("address",)),
            (WRITERS, ("address", "count", "data")),
        ):
            refusals: dict[str, list] = {name: [] for name in names}
            for b, buffer in enumerate(buffers):
                linked = [name for name in names if b in config.linked(name)]
                taken = None
                layout = read_layout(config) if names is READERS else write_layout(config)
                request = Signal(layout, name=f"{names[0]}_request_{b}", reset_less=True)
                enable = Signal(name=f"{names[0]}_enable_{b}")
                for name in linked:
                    port = getattr(self, name)
                    wants = Signal(name=f"{name}_wants_{b}")
                    m.d.comb += wants.eq(port.valid & (port.payload.buffer == b))
                    if taken is not None:
                        refusals[name].append(wants & taken)
                    grants = wants if taken is None else wants & ~taken
                    with m.If(grants):
                        m.d.sync += [
                            getattr(request, n).eq(getattr(port.payload, n)) for n in members
                        ]
                    taken = wants if taken is None else taken | wants
                m.d.sync += enable.eq(0 if taken is None else taken)
                if names is READERS:
                    m.d.comb += buffer.read_address.eq(request.address)
                else:
                    m.d.comb += [
                        buffer.write_enable.eq(enable),
                        buffer.write_address.eq(request.address),
                        buffer.write_count.eq(request.count),
                        buffer.write_data.eq(request.data),
                    ]
            for name in names:
                held = Signal(name=f"{name}_held")
                for refusal in refusals[name]:
                    with m.If(refusal):
                        m.d.comb += held.eq(1)
                m.d.comb += getattr(self, name).ready.eq(~held)

        for name in READERS:
            chosen = getattr(self, name).payload.buffer
            for stage in range(self.READ_LATENCY):
                later = Signal(config.buffer_bits, name=f"{name}_from_{stage}")
                m.d.sync += later.eq(chosen)
                chosen = later
            linked = config.linked(name)
            output = getattr(self, f"{name}_data")
            if len(linked) == 1:
                m.d.comb += output.eq(buffers[linked[0]].read_data)
            elif linked:
                words = [b.read_data if i in linked else 0 for i, b in enumerate(buffers)]
                m.d.comb += output.eq(Choice(words)[chosen])
        return m
