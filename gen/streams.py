"""Streams: operations whose weights come from off chip, in parts that fit beside those of others.

Transfers are made in the order of their planning. So operations of several cores are planned in the
order in which they can begin, as far as that is roughly known: as soon as their core is free, what
they read is written, and what they replace is read.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .cost import cycles
from .cut import into_blocks, into_parts, stationary
from .errors import UserError
from .operation import Operation
from .order import operand_bytes, second_words, written_bytes, written_words
from .work import Work

__all__ = ["streaming"]

MOST_OPERATIONS = 8192
"""More than these are not planned: so many parts would each be of too few weights."""


def streaming(work: Work, weight_words: Sequence[int], word_bytes: int, axi_bytes: int) -> Work:
    """``work`` in operations whose weights fit in so many words of each core's memory.

    Raises
    ------
    UserError
        If they would be too many.
    """
    several = len(work.sites) > 1
    kept = [{op.unit for op in work.of(c) if op.weights is None} for c in range(len(work.sites))]
    operations: list[tuple[Operation, int]] = []
    for op, core in work.operations:
        geometry, free = work.sites[core].geometry, weight_words[core] - len(kept[core])
        for block in into_blocks(stationary(op, geometry), geometry, free):
            parts = into_parts(block, geometry, free, word_bytes) if several else [block]
            operations += ((part, core) for part in parts)
        if several and len(operations) > MOST_OPERATIONS:
            raise UserError(
                f"task '{op.tasks[0]}' has {free} words for its weights, which makes more than "
                f"{MOST_OPERATIONS} parts"
            )
    work = replace(work, operations=tuple(operations))
    return _by_need(work, word_bytes, axi_bytes) if several else work


def _by_need(work: Work, word_bytes: int, axi_bytes: int) -> Work:
    """``work`` in the order in which its operations can begin; each core keeps its own order."""
    clock = _Clock(work, word_bytes, axi_bytes)
    begins = [clock.begin(op, core) for op, core in work.operations]
    order = sorted(range(len(begins)), key=begins.__getitem__)
    return replace(work, operations=tuple(work.operations[i] for i in order))


class _Clock:
    """Rough cycles at which cores are free, words of storages written, and bytes of them read."""

    def __init__(self, work: Work, word_bytes: int, axi_bytes: int):
        self.work, self.word_bytes, self.axi_bytes = work, word_bytes, axi_bytes
        self.free = [0.0] * len(work.sites)
        self.sinks = {op.sink.storage for op, _ in work.operations}
        words = {name: -(-size // word_bytes) for name, size in work.storages.items()}
        self.written = {name: np.zeros(count) for name, count in words.items()}
        # Of each storage, by the first byte that they read, when its readers are over.
        self.read: dict[str, dict[int, float]] = {name: {} for name in work.storages}

    def begin(self, op: Operation, core: int) -> float:
        """When an operation begins, which only needs what was asked for before it."""
        geometry, sink = self.work.sites[core].geometry, op.sink.storage
        operands = dict(zip(op.reads, operand_bytes(op, geometry), strict=False))
        begin = max(self.free[core], self._replaced(sink, written_bytes(op, geometry)[1]))
        for name, words in self._reads(op, core).items():
            ring = self.work.rings.get(name)
            made = self.written[(ring and ring.back) or name]
            begin = max(begin, made[words].max(initial=0))
            if name not in self.sinks:
                # What comes from off chip replaces rows as well, in whole beats.
                end = -(-operands[name][1] // self.axi_bytes) * self.axi_bytes
                begin = max(begin, self._replaced(name, end))
        takes = cycles([op], geometry, self.word_bytes)
        groups = written_words(op, geometry, self.word_bytes)
        there = begin + takes * np.arange(1, len(groups[0]) + 1) / len(groups[0])
        for words in groups:
            np.maximum.at(self.written[sink], words, there)
        self.free[core] = begin + takes
        for name, (low, _) in operands.items():
            ends = self.read[name]
            ends[low] = max(ends.get(low, 0), self.free[core])
        return begin

    def _reads(self, op: Operation, core: int) -> dict[str, np.ndarray]:
        """The words of each storage that an operation reads."""
        geometry, size = self.work.sites[core].geometry, self.word_bytes
        rows, unit = op.window.touched_rows(), geometry.element_bytes
        spans = [span for y, span in enumerate(op.window.spans()) if y in rows]
        words = [
            np.arange(unit * low // size, (unit * high - 1) // size + 1)
            for low, high in spans
            if high > low
        ]
        found = {op.window.storage: np.concatenate([*words, np.empty(0, int)])}
        if op.residual is not None:
            found[op.residual.place.storage] = second_words(op, geometry, size)
        return found

    def _replaced(self, name: str, end: int) -> float:
        """When those are over who read what rows of a ring before byte ``end`` replace."""
        ring = self.work.rings.get(name)
        gone = 0 if ring is None else end - ring.size
        return max((over for low, over in self.read[name].items() if low < gone), default=0)
