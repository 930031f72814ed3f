"""Sequencers: each unit steps through the words of its own program."""

from collections.abc import Sequence

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for
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
        The program, for a ROM; None for a RAM of ``depth`` words written through the load port.

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

    def __init__(self, width: int, *, words: Sequence[int] | None = None, depth: int = 0):
        if words is None and depth < 1:
            raise ValueError(f"depth of a program RAM must be at least 1, not {depth}")
        self._width, self._words = width, words
        self._depth = depth if words is None else max(1, len(words))
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
            self._width,
            depth=self._depth,
            init=self._words or (),
            writable=self._words is None,
            registered=False,
        )
        m.d.comb += [
            words.write_enable.eq(self.write_enable),
            words.write_address.eq(self.write_address),
            words.write_data.eq(self.write_data),
        ]
        bits = len(self.count)
        count = Signal(bits)
        m.d.comb += count.eq(self.count if self._words is None else len(self._words))

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
            m.d.sync += [has_offered.eq(there), offered.eq(words.read_data)]
        with m.If(loads):
            m.d.sync += index.eq(index + 1)
        with m.If(~words_left):
            m.d.sync += running.eq(0)
        with m.If(self.start):
            m.d.sync += [index.eq(0), running.eq(1)]
        return m
