"""Loader: 32-bit register writes become words of the schedule and constant memories."""

from collections.abc import Mapping

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Loader"]


class Loader(wiring.Component):
    """Collects ``ceil(width / 32)`` slices, low first, and writes them as one word.

    LOAD_SELECT chooses the memory, by its place in ``widths``; LOAD_INDEX the word, which then
    counts up by itself.

    Parameters
    ----------
    widths
        Name and word width of each memory.

    Members
    -------
    select, indexed, strobe, value : from the register file
    index, word : what is written
    enable_<name> : one cycle, per memory
    """

    select: Signal
    indexed: Signal
    strobe: Signal
    value: Signal
    index: Signal
    word: Signal

    def __init__(self, widths: Mapping[str, int]):
        self._widths = dict(widths)
        super().__init__(
            {
                "select": In(8),
                "indexed": In(1),
                "strobe": In(1),
                "value": In(32),
                "index": Out(24),
                "word": Out(max(self._widths.values())),
            }
            | {f"enable_{name}": Out(1) for name in self._widths}
        )

    def elaborate(self, platform):
        m = Module()
        slices = {name: -(-width // 32) for name, width in self._widths.items()}
        most = max(slices.values())
        word = Signal(32 * most, reset_less=True)
        count = Signal(range(most + 1))
        index = Signal(24)
        joined = Cat(word[32:], self.value)
        with m.If(self.indexed):
            m.d.sync += [index.eq(self.value), count.eq(0)]
        with m.If(self.strobe):
            m.d.sync += [word.eq(joined), count.eq(count + 1)]
        # The slices of a narrow word end at the top of the register; bring them down.
        m.d.comb += self.index.eq(index)
        for place, (name, needed) in enumerate(slices.items()):
            with m.If(self.select == place):
                m.d.comb += self.word.eq(word[32 * (most - needed) :])
                with m.If(count == needed):
                    m.d.comb += getattr(self, f"enable_{name}").eq(1)
                    m.d.sync += [count.eq(self.strobe), index.eq(index + 1)]
        return m
