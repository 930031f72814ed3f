"""Chain: blocks of a fixed latency one behind the other, one vector a cycle."""

from collections.abc import Sequence
from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Chain"]


class Chain(wiring.Component):
    """Feeds each block's ``o`` to the next one's ``i``.

    Never stalls; latency is the sum of the blocks'.

    Parameters
    ----------
    blocks
        With members ``i`` and ``o`` and a ``latency``. Elements are as many on both sides of a
        joint, and are extended or cut to the next block's width.

    Members
    -------
    i : as the first block's
    o : as the last one's

    Raises
    ------
    ValueError
        If a block takes another number of elements than the one before it gives.
    """

    i: Any
    o: Any

    def __init__(self, blocks: Sequence[Any]):
        self._blocks = tuple(blocks)
        for before, after in zip(self._blocks, self._blocks[1:], strict=False):
            if before.o.shape().length != after.i.shape().length:
                raise ValueError(
                    f"a block of {after.i.shape().length} inputs cannot follow one of "
                    f"{before.o.shape().length} outputs"
                )
        first, last = self._blocks[0].i.shape(), self._blocks[-1].o.shape()
        super().__init__({"i": In(first), "o": Out(last)})

    @property
    def latency(self) -> int:
        """Cycles from ``i`` to ``o``."""
        return sum(block.latency for block in self._blocks)

    def elaborate(self, platform):
        m = Module()
        before = self.i
        for k, block in enumerate(self._blocks):
            m.submodules[f"block_{k}"] = block
            for e in range(block.i.shape().length):
                m.d.comb += block.i[e].eq(before[e])
            before = block.o
        m.d.comb += self.o.eq(before)
        return m
