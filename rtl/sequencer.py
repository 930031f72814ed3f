"""Sequencers: each unit steps through the words of its own program."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for
from .loops import Loops
from .memory import Memory

__all__ = ["Sequencer"]


class Sequencer(wiring.Component):
    """Streams the words of a program, in order, once per ``start``.

    The first word is valid :attr:`LATENCY` cycles after ``start``. A word that was valid for two
    cycles is followed by the next one at once; no unit takes words faster.

    Parameters
    ----------
    width
        Stored bits of a word.
    words
        The program, for a ROM, word by word or in loops; None for a RAM of ``depth`` words written
        through the load port.

    Members
    -------
    o : stream of words
    start : begins at word 0; only while ``idle``
    idle : every word has been taken
    count : number of words in the program, where it is RAM
    write_enable, write_address, write_data : the load port of a RAM
    """

    o: stream.Interface
    start: Signal
    idle: Signal
    count: Signal
    write_enable: Signal
    write_address: Signal
    write_data: Signal

    LATENCY = 3

    def __init__(self, width: int, *, words: Sequence[int] | Loops | None = None, depth: int = 0):
        if words is None and depth < 1:
            raise ValueError(f"depth of a program RAM must be at least 1, not {depth}")
        self._width, self._rom = width, words is not None
        self._loops = words if isinstance(words, Loops) else None
        self._words = words.stored() if isinstance(words, Loops) else words or ()
        self._depth = max(1, len(self._words)) if self._rom else depth
        bits = bits_for(self._depth + 1)
        super().__init__(
            {
                "o": Out(stream.Signature(width)),
                "start": In(1),
                "idle": Out(1),
                "count": In(bits),
                "write_enable": In(1),
                "write_address": In(bits_for(self._depth)),
                "write_data": In(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(
            self._width if self._loops is None else self._loops.width,
            depth=self._depth,
            init=self._words,
            writable=not self._rom,
            registered=False,
        )
        m.d.comb += [
            words.write_enable.eq(self.write_enable),
            words.write_address.eq(self.write_address),
            words.write_data.eq(self.write_data),
        ]
        bits = len(self.count)
        count = Signal(bits)
        m.d.comb += count.eq(len(self._words) if self._rom else self.count)

        # The word on offer, and behind it what the memory reads, once that is the word at `index`.
        index = Signal(bits)
        running = Signal()
        there = Signal()
        words_left = Signal()
        loads = Signal()
        offered = Signal(self._width, reset_less=True)
        has_offered = Signal()
        taken = self.o.valid & self.o.ready
        m.d.comb += [
            self.o.valid.eq(has_offered),
            self.o.payload.eq(offered),
            words.read_address.eq(index),
            self.idle.eq(~running & ~has_offered),
            words_left.eq(index != count),
            loads.eq(there & (~has_offered | taken)),
        ]
        m.d.sync += there.eq(running & words_left & ~loads)
        with m.If(~has_offered | taken):
            m.d.sync += has_offered.eq(there)
        if self._loops is None:
            word, following = words.read_data, index + 1
        else:
            word, following = self._stepped(m, self._loops, words.read_data, offered, index, loads)
        with m.If(loads):
            m.d.sync += [offered.eq(word), index.eq(following)]
        with m.If(~words_left):
            m.d.sync += running.eq(0)
        with m.If(self.start):
            m.d.sync += [index.eq(0), running.eq(1)]
            if self._loops is not None:
                m.d.sync += offered.eq(0)
        return m

    @staticmethod
    def _stepped(
        m: Module, loops: Loops, stored: Value, offered: Value, index: Value, loads: Value
    ) -> tuple[Value, Value]:
        """The word that a stored step makes of the one on offer, and the index of the next step."""
        change = Signal(sum(loops.widths))
        back = Signal(loops.back_bits)
        again = Signal(loops.again_bits)
        turn = Signal(loops.again_bits)
        goes_back = Signal()
        m.d.comb += [Cat(change, back, again).eq(stored), goes_back.eq(turn != again)]
        # At the end of a program every loop is over, so that `turn` is 0 again.
        with m.If(loads & again.any()):
            m.d.sync += turn.eq(Mux(goes_back, turn + 1, 0))
        fields, at = [], 0
        for width in loops.widths:
            fields.append((offered[at : at + width] + change[at : at + width])[:width])
            at += width
        return Cat(fields), Mux(again.any() & goes_back, index - back, index + 1)
