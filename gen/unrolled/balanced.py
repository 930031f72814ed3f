"""Balancing: the same sums by shorter ways, for pipelines with fewer registers."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from rtl.unrolled.graph import AdderGraph, Operand, Row

__all__ = ["balanced"]


def balanced(graph: AdderGraph) -> AdderGraph:
    """``graph`` with as many rows or fewer, none later than before.

    Rows that only one other reads are opened into it, and what is summed then is joined again, what
    is there first first: Huffman's tree, with a row's place for the sum of weights. A sum that
    would be no earlier so keeps its rows.

    Raises
    ------
    ValueError
        If a row has guests.
    """
    if any(row.guests for row in graph.rows):
        raise ValueError("rows that have guests cannot be balanced")
    made = _Made(graph)
    for index in range(len(graph.rows)):
        if not made.inner(index):
            made.sum(index)
    outputs = (None if o is None else made.now(o) for o in graph.outputs)
    return AdderGraph(graph.inputs, tuple(made.rows), tuple(outputs), graph.modulus_bits)


class _Made:
    """Rows that are made anew, and what has taken the place of each value of ``graph``."""

    def __init__(self, graph: AdderGraph):
        n = len(graph.inputs)
        self.graph, self.n = graph, n
        self.rows: list[Row] = []
        self.depths = [0] * n
        self.place = [*map(Operand, range(n)), *[Operand(0)] * len(graph.rows)]
        self.outputs = {o.value for o in graph.outputs if o is not None}
        self.uses = [0] * len(self.place)
        for row in graph.rows:
            for o in row.operands:
                self.uses[o.value] += 1

    def inner(self, index: int) -> bool:
        """Whether a row is nothing but a part of its one user."""
        value = self.n + index
        return self.uses[value] == 1 and value not in self.outputs

    def now(self, o: Operand) -> Operand:
        """An operand of ``graph`` among the rows that are made."""
        own = self.place[o.value]
        return Operand(own.value, own.shift + o.shift, own.negated != o.negated)

    def sum(self, index: int) -> None:
        """Makes the rows of a value that others read."""
        parts, terms = self._opened(index)
        most = max(len(self.graph.rows[k].operands) for k in parts)
        start, depths = len(self.rows), self.depths[:]
        joined = self._joined(terms, most)
        if self.depths[joined.value] < self._kept_depth(parts) and not joined.negated:
            self.place[self.n + index] = joined
            return
        del self.rows[start:]
        self.depths = depths
        for k in parts:
            row = [self.now(o) for o in self.graph.rows[k].operands]
            self.place[self.n + k] = self._row(row, whole=True)

    def _opened(self, index: int) -> tuple[list[int], list[Operand]]:
        """The rows of a sum, in order, and the terms that they add, as they are now."""
        parts, terms, open_rows = [], [], [(index, Operand(0))]
        while open_rows:
            k, outer = open_rows.pop()
            parts.append(k)
            for o in self.graph.rows[k].operands:
                o = Operand(o.value, o.shift + outer.shift, o.negated != outer.negated)
                if o.value >= self.n and self.inner(o.value - self.n):
                    open_rows.append((o.value - self.n, o))
                else:
                    terms.append(self.now(o))
        return sorted(parts), terms

    def _kept_depth(self, parts: Sequence[int]) -> int:
        """How late the last of ``parts`` would be, were they made as they are."""
        own: dict[int, int] = {}
        for k in parts:
            operands = self.graph.rows[k].operands
            own[k] = 1 + max(
                own[o.value - self.n]
                if o.value - self.n in own
                else self.depths[self.place[o.value].value]
                for o in operands
            )
        return own[parts[-1]]

    def _joined(self, terms: Sequence[Operand], most: int) -> Operand:
        """Rows of up to ``most`` operands that add ``terms``; the last may have their negative."""
        ahead = [(self.depths[o.value], o.shift, k, o) for k, o in enumerate(terms)]
        heapify(ahead)
        count = len(ahead)
        # The first row is the one with too few operands, so that the last is full.
        size = 2 + (len(ahead) - 2) % (most - 1) if most > 1 else 1
        while len(ahead) > 1:
            row = [heappop(ahead)[-1] for _ in range(size)]
            made = self._row(row, whole=not ahead)
            heappush(ahead, (self.depths[made.value], made.shift, count, made))
            count, size = count + 1, most
        return ahead[0][-1]

    def _row(self, terms: Sequence[Operand], *, whole: bool) -> Operand:
        """A row for the sum of ``terms``, or for its negative: where a row cannot negate them all,
        and unless ``whole`` so that what is lowest is not negated."""
        least = min(o.shift for o in terms)
        lowest = [o for o in terms if o.shift == least]
        negated = sum(o.negated for o in terms)
        flip = negated > 2 or (not whole and all(o.negated for o in lowest))
        row = tuple(Operand(o.value, o.shift - least, o.negated != flip) for o in terms)
        self.rows.append(Row(row))
        self.depths.append(1 + max(self.depths[o.value] for o in row))
        return Operand(self.n + len(self.rows) - 1, least, flip)
