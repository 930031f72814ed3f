"""ConstantProduct: a matrix of constants times a vector, every row of its adder graph in place."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

from amaranth import Cat, Const, Instance, Module, Signal, Value
from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .graph import AdderGraph, Operand, shape_of
from .graph import Shape as Bits

__all__ = ["PASSED", "ROW", "ConstantProduct", "passed_source", "row_source"]

ROW = "intarsia_row"
"""The Verilog module of a row, which every emitted product needs beside it."""
PASSED = "intarsia_passed"
"""The Verilog module of a row that only passes its operand on, as those of
:func:`gen.unrolled.kernels.replicated`; searches make none."""


def row_source() -> str:
    """Verilog of module :data:`ROW`; with ``INTARSIA_XILINX`` defined, as LUT6_2 and CARRY4."""
    return resources.files("rtl.unrolled").joinpath("row.v").read_text()


def passed_source() -> str:
    """Verilog of module :data:`PASSED`."""
    return resources.files("rtl.unrolled").joinpath("passed.v").read_text()


def _common(shapes: Sequence[Bits]) -> Shape:
    """The narrowest shape that holds all ``shapes``."""
    signed = any(s.signed for s in shapes)
    return Shape(max(s.width + (signed and not s.signed) for s in shapes), signed)


def _last_stage(graph: AdderGraph, stages: Sequence[int]) -> int:
    """Registers before the outputs."""
    n = len(graph.inputs)
    return max((stages[o.value - n] for o in graph.outputs if o and o.value >= n), default=0)


_Term = tuple[Signal, Operand]


def _last_bits(guests: list[_Term], y: Signal) -> Value:
    """What ``guests`` add to the last two bits of ``y``."""
    low: Value = Const(0, 1)
    high: Value = Const(0, 1)
    for signal, o in guests:
        place = len(y) - 1 - o.shift
        high ^= signal[place] if place < len(signal) else 0
        if place:
            low = signal[0]
            high ^= low & o.negated
    return Cat(low, high)


class ConstantProduct(wiring.Component):
    """Products of a vector with a constant matrix, one vector a cycle.

    Without ``stages`` a combinational block. Otherwise initiation interval 1 and latency
    :attr:`latency`; never stalls, and what comes in always comes out.

    Parameters
    ----------
    graph
        What is computed.
    stages
        For each row, the number of registers between the inputs and its operands; a row comes no
        earlier than its operands.
    registered
        Registers at inputs and outputs too; they count in the latency.

    Members
    -------
    output : shape of an element of ``o``
    i : one value for each input, all in the widest's shape
    o : one value for each output, all in the widest's shape

    Raises
    ------
    ValueError
        If there is not a stage for each row, a row comes before one of its operands, or has no
        room for its guests.
    """

    output: Shape
    i: Signal
    o: Signal

    def __init__(
        self, graph: AdderGraph, *, stages: Sequence[int] | None = None, registered: bool = False
    ):
        chosen = tuple(stages) if stages is not None else (0,) * len(graph.rows)
        if len(chosen) != len(graph.rows):
            raise ValueError(f"stages must be {len(graph.rows)} numbers, not {len(chosen)}")
        n = len(graph.inputs)
        for stage, row in zip(chosen, graph.rows, strict=True):
            if any(o.value >= n and chosen[o.value - n] > stage for o in row.operands):
                raise ValueError("a row must not come before its operands")
        for index in range(len(graph.rows)):
            if not graph.has_room(index):
                raise ValueError(f"row {index} has no room for its guests")
        self._graph, self._registered = graph, registered
        self._stages = (0,) * n + chosen
        self._last = _last_stage(graph, chosen)
        inputs = _common([shape_of(*pair) for pair in graph.inputs])
        outputs = _common([graph.output_shape(k) for k in range(len(graph.outputs))])
        self.output = outputs
        super().__init__(
            {
                "i": In(data.ArrayLayout(inputs, n)),
                "o": Out(data.ArrayLayout(outputs, len(graph.outputs))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from ``i`` to ``o``."""
        return self.latency_of(
            self._graph, self._stages[len(self._graph.inputs) :], self._registered
        )

    @staticmethod
    def latency_of(graph: AdderGraph, stages: Sequence[int], registered: bool) -> int:
        """Cycles of a product that is yet to be made."""
        return _last_stage(graph, stages) + 2 * registered

    @staticmethod
    def registers_of(graph: AdderGraph, stages: Sequence[int], registered: bool) -> int:
        """Bits of all registers of a product that is yet to be made, those of like rows each."""
        n = len(graph.inputs)
        begins = [-1 if registered else 0] * n + list(stages)
        # Of every value its bits; those below a row's cells are its lowest operand's.
        bits: list[list[tuple[int, int]]] = []
        ends: dict[tuple[int, int], int] = {}

        def read(o: Operand, stage: int) -> None:
            ends.update((bit, max(stage, ends[bit])) for bit in bits[o.value])

        for value, shape in enumerate(graph.shapes):
            below: list[tuple[int, int]] = []
            if value >= n:
                row = graph.rows[value - n]
                for o in row.terms:
                    read(o, begins[value])
                if not row.passing:
                    lowest = min(row.operands, key=lambda o: o.shift)
                    below = bits[lowest.value][: max(0, graph.base(value - n) - lowest.shift)]
            own = [(value, k) for k in range(len(below), shape.width)]
            bits.append(below + own)
            ends |= dict.fromkeys(own, begins[value])
        last = _last_stage(graph, stages) + registered
        for o in graph.outputs:
            if o is not None:
                read(o, last)
        return sum(end - begins[value] for (value, _), end in ends.items())

    def elaborate(self, platform):
        m = Module()
        graph, n = self._graph, len(self._graph.inputs)
        values: list[list[Signal]] = []  # per value, its copies stage by stage

        def at(value: int, stage: int) -> Signal:
            copies = values[value]
            while len(copies) <= stage - self._stages[value]:
                name = f"{copies[0].name}_{len(copies)}"
                later = Signal(copies[0].shape(), name=name, reset_less=True)
                m.d.sync += later.eq(copies[-1])
                copies.append(later)
            return copies[stage - self._stages[value]]

        for k in range(n):
            shape = graph.shapes[k]
            value = Signal(Shape(shape.width, shape.signed), name=f"x{k}", reset_less=True)
            (m.d.sync if self._registered else m.d.comb).__iadd__(value.eq(self.i[k]))
            values.append([value])
        for index, row in enumerate(graph.rows):
            shape = graph.shapes[n + index]
            y = Signal(Shape(shape.width, shape.signed), name=f"r{index}")
            values.append([y])
            if shape.width:
                operands, guests = (
                    [(at(o.value, self._stages[n + index]), o) for o in some]
                    for some in (row.operands, row.guests)
                )
                m.submodules[f"row{index}"] = self._row(index, operands, guests, y)
        for k, o in enumerate(graph.outputs):
            value = at(o.value, self._last) << o.shift if o is not None else 0
            (m.d.sync if self._registered else m.d.comb).__iadd__(self.o[k].eq(value))
        return m

    def _row(self, index: int, operands: list[_Term], guests: list[_Term], y: Signal) -> Instance:
        graph = self._graph
        if graph.rows[index].passing:
            return Instance(PASSED, p_WIDTH=len(y), i_a=operands[0][0][: len(y)], o_y=y)
        parameters = {"WIDTH": len(y), "BASE": graph.base(index), "COUNT": len(operands)}
        parameters["GUESTS"] = max((len(y) - o.shift for _, o in guests), default=0)
        ports: dict[str, Any] = {"i_guests": _last_bits(guests, y)}
        for name, (signal, operand) in zip("abc", operands, strict=False):
            # What lies beyond the row's highest bit is not there, so that narrow rows are seen.
            bits = max(1, min(len(signal), len(y) - operand.shift))
            parameters |= {
                f"WIDTH_{name.upper()}": bits,
                f"SHIFT_{name.upper()}": operand.shift,
                f"SIGNED_{name.upper()}": int(signal.shape().signed and bits == len(signal)),
                f"NEGATED_{name.upper()}": int(operand.negated),
            }
            ports[f"i_{name}"] = signal[:bits]
        for name in "abc"[len(operands) :]:
            parameters[f"WIDTH_{name.upper()}"] = 1
            ports[f"i_{name}"] = 0
        return Instance(
            ROW, **{f"p_{key}": value for key, value in parameters.items()}, **ports, o_y=y
        )
