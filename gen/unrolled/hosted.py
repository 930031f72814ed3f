"""Hosting: rows that only change the last two bits of another one are taken in by it.

Modulo a power of two the carry of the last bit is dropped. Where a row of two operands has a table
of six inputs in front of its carry chain, the tables of its last two bits have room for another
operand that reaches no further down, and that of the last bit for four.
"""

from dataclasses import replace

from rtl.unrolled.graph import REACH, ROOM, AdderGraph, Operand, Row

__all__ = ["hosted"]


def hosted(graph: AdderGraph) -> AdderGraph:
    """``graph`` with guests in its rows, in the place of rows of one or two bits.

    Whole graphs, without ``modulus_bits``, stay as they are.
    """
    if graph.modulus_bits is None:
        return graph
    stay: set[int] = set()
    while True:
        made, hosts = _taken_in(graph, stay)
        # With its guests a row may be of other bits than it was.
        wrong = {row for k, row in enumerate(hosts) if not made.has_room(k)}
        if not wrong:
            return made
        stay |= wrong


class _Rows:
    """Rows that change, by their number in ``graph``."""

    def __init__(self, graph: AdderGraph):
        self.graph, self.n = graph, len(graph.inputs)
        self.rows = list(graph.rows)
        self.same = list(range(self.n + len(graph.rows)))  # which value has taken another's place
        self.uses = [0] * len(self.same)
        for row in graph.rows:
            for o in row.terms:
                self.uses[o.value] += 1
        for o in graph.outputs:
            if o is not None:
                self.uses[o.value] += 1

    def width(self, value: int) -> int:
        return self.graph.shapes[value].width

    def operands(self, row: int) -> list[Operand]:
        return [replace(o, value=self.same[o.value]) for o in self.rows[row].operands]

    def room(self, row: int, reach: int) -> bool:
        """Whether a row takes a guest that reaches ``reach`` bits down."""
        own, guests = self.rows[row], self.rows[row].guests
        if len(own.operands) != 2 or all(o.negated for o in own.operands):
            return False
        width = self.width(self.n + row)
        if reach == 1:
            return len(guests) < ROOM and all(o.shift == width - 1 for o in guests)
        return not guests and self.graph.base(row) <= width - REACH


def _taken_in(graph: AdderGraph, stay: set[int]) -> tuple[AdderGraph, list[int]]:
    """The graph with guests, none in the rows ``stay``, and what its rows were in ``graph``."""
    rows = _Rows(graph)
    for k in range(len(graph.rows)):
        operands, width = rows.operands(k), rows.width(rows.n + k)
        for guest, rest in zip(operands, reversed(operands), strict=True):
            reach = width - guest.shift
            if len(operands) != 2 or reach > REACH or rest.shift or rest.negated:
                continue
            host = _host(rows, rest.value, width, reach, stay)
            if host is None:
                continue
            row, turned = host
            added = replace(guest, negated=guest.negated != turned)
            rows.rows[row] = replace(rows.rows[row], guests=(*rows.rows[row].guests, added))
            rows.uses[rest.value] = rows.uses[rows.n + k]
            rows.same[rows.n + k] = rest.value  # which is no row that went before
            break
    return _ordered(rows)


def _host(
    rows: _Rows, value: int, width: int, reach: int, stay: set[int]
) -> tuple[int, bool] | None:
    """A row with room among those that make ``value`` and nothing else, and whether it is negated
    there."""
    turned = False
    while value >= rows.n and rows.uses[value] == 1 and rows.width(value) == width:
        row = value - rows.n
        if row not in stay and rows.room(row, reach):
            return row, turned
        further = [o for o in rows.operands(row) if not o.shift and o.value >= rows.n]
        if not further:
            return None
        value, turned = further[0].value, turned != further[0].negated
    return None


def _ordered(rows: _Rows) -> tuple[AdderGraph, list[int]]:
    """Every row behind what it adds."""
    place = {k: k for k in range(rows.n)}
    made: list[Row] = []
    names: list[int] = []

    def moved(o: Operand) -> Operand:
        return replace(o, value=place[rows.same[o.value]])

    pending = [rows.same[o.value] for o in reversed(rows.graph.outputs) if o is not None]
    while pending:
        value = pending[-1]
        terms = rows.rows[value - rows.n].terms if value not in place else ()
        missing = [v for o in terms if (v := rows.same[o.value]) not in place]
        if missing:
            pending += missing
            continue
        pending.pop()
        if value not in place:
            row = rows.rows[value - rows.n]
            place[value] = rows.n + len(made)
            names.append(value - rows.n)
            made.append(Row(tuple(map(moved, row.operands)), tuple(map(moved, row.guests))))
    outputs = tuple(moved(o) if o is not None else None for o in rows.graph.outputs)
    graph = AdderGraph(rows.graph.inputs, tuple(made), outputs, rows.graph.modulus_bits)
    return graph, names
