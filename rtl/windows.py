"""Windows: operands of their own for each column, cut out of the last few segments of lines."""

from amaranth import Array as Choice
from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .delay import delayed
from .memory import Memory

__all__ = ["Windows"]


class Windows(wiring.Component):
    """A ring of segments, the newest of them in registers, and the wires from there to the columns.

    Sweeping down a strip of an image, each segment read makes a whole row of windows: what lies
    above is still here. Wiring is fixed: a word chooses one of the machine's patterns, or the same
    operands for all columns.

    ``operands`` shows the choice :attr:`LATENCY` cycles after ``push``, ``own`` or ``pattern``.

    Members
    -------
    write_enable, write_address, write_data : a segment, element 0 lowest
    read_address, push : the segment at this position becomes the newest
    own, pattern : whether columns take operands of their own, and which
    shared : ``depth`` elements, those of all columns otherwise, when ``operands`` shows them
    operands : ``cols * depth`` elements, those of column 0 lowest
    """

    write_enable: Signal
    write_address: Signal
    write_data: Signal
    read_address: Signal
    push: Signal
    own: Signal
    pattern: Signal
    shared: Signal
    operands: Signal

    LATENCY = 2

    def __init__(self, config: Config):
        self._config = config
        position, size = bits_for(config.patch_words), config.element_bits * config.segment
        super().__init__(
            {
                "write_enable": In(1),
                "write_address": In(position),
                "write_data": In(size),
                "read_address": In(position),
                "push": In(1),
                "own": In(1),
                "shared": In(config.element_bits * config.depth),
                "pattern": In(bits_for(len(config.patterns))),
                "operands": Out(config.element_bits * config.cols * config.depth),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, bits = self._config, self._config.element_bits
        m.submodules.ring = ring = Memory(
            bits * config.segment, depth=config.patch_words, registered=False
        )
        m.d.comb += [
            ring.read_address.eq(self.read_address),
            ring.write_enable.eq(self.write_enable),
            ring.write_address.eq(self.write_address),
            ring.write_data.eq(self.write_data),
        ]
        pushed = Signal()
        m.d.sync += pushed.eq(self.push)
        depth = max(pattern.lines for pattern in config.patterns)
        lines = [
            Signal(bits * config.segment, name=f"line_{i}", reset_less=True) for i in range(depth)
        ]
        with m.If(pushed):
            m.d.sync += [
                new.eq(old) for new, old in zip(lines, [ring.read_data, *lines], strict=False)
            ]

        views = []
        for pattern in config.patterns:
            parts = []
            for column in range(config.cols):
                for product in range(config.depth):
                    place = pattern.place(column, product)
                    # Any element will do where there is none: its weight is zero.
                    line, element = place or (0, 0)
                    element = min(element, config.segment - 1)
                    parts.append(lines[pattern.lines - 1 - line].word_select(element, bits))
            views.append(Cat(*parts))
        late = delayed(m, Cat(self.own, self.pattern), self.LATENCY, "chosen", control=True)
        chosen = Choice(views)[late[1:]] if len(views) > 1 else views[0]
        m.d.comb += self.operands.eq(Mux(late[0], chosen, self.shared.replicate(config.cols)))
        return m
