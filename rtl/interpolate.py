"""Interpolate: unary functions of int16, piecewise linear."""

from collections.abc import Sequence
from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for
from .memory import Memory

__all__ = ["Interpolate", "segment_layout", "segments"]

SEGMENTS = 256


def segment_layout() -> data.StructLayout:
    """The line over 256 neighbouring inputs: value at the first, rise to the next segment."""
    return data.StructLayout({"base": signed(16), "rise": signed(17)})


def segments(table: Sequence[int]) -> list[int]:
    """Memory words of one function, from its 257 int16 values at -32768, -32512, ... 32768."""
    if len(table) != SEGMENTS + 1:
        raise ValueError(f"table must have {SEGMENTS + 1} values, not {len(table)}")
    points = [int(value) for value in table]
    if wrong := [value for value in points if not -(1 << 15) <= value < 1 << 15]:
        raise ValueError(f"table must be of int16 values, not {wrong[0]}")
    layout = segment_layout()
    return [layout.const({"base": a, "rise": b - a}).as_value().value for a, b in pairwise(points)]


class Interpolate(wiring.Component):
    """``o = f(i)`` by linear interpolation between 257 points, one value a cycle.

    With u = i + 32768, k = u >> 8, r = u & 255 and the points T of the chosen function,
    ``o = (T[k] * 256 + (T[k + 1] - T[k]) * r + 128) >> 8``. Where ``on`` is 0, ``o = i``.

    Initiation interval 1, latency :attr:`LATENCY`. Never stalls. One 17 by 8 bit multiplier.
    ``on`` and ``select`` must hold while outputs are under way.

    Parameters
    ----------
    functions
        How many functions the memory holds; function n occupies words 256 n on.
    init
        First contents of the memory, as :func:`segments` gives them.
    writable
        False builds a ROM.

    Members
    -------
    i, o : int16
    on, select : whether a function is applied, and which
    write_enable, write_address, write_data : loads a word of the memory

    Raises
    ------
    ValueError
        If there is no function, or more contents than memory.
    """

    i: Signal
    o: Signal
    on: Signal
    select: Signal
    write_enable: Signal
    write_address: Signal
    write_data: Signal

    LATENCY = 4
    MULTIPLIERS = 1

    def __init__(self, functions: int, *, init: Sequence[int] = (), writable: bool = True):
        if functions < 1:
            raise ValueError(f"functions must be at least 1, not {functions}")
        depth = SEGMENTS * functions
        if len(init) > depth:
            raise ValueError(f"init must be at most {depth} words, not {len(init)}")
        self._depth, self._init, self._writable = depth, init, writable
        super().__init__(
            {
                "i": In(signed(16)),
                "o": Out(signed(16)),
                "on": In(1),
                "select": In(bits_for(functions)),
                "write_enable": In(1),
                "write_address": In(bits_for(depth)),
                "write_data": In(segment_layout().size),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            segment_layout().size, depth=self._depth, init=self._init, writable=self._writable
        )
        m.d.comb += [
            memory.read_address.eq(Cat(self.i[8:] ^ 0x80, self.select)),
            memory.write_enable.eq(self.write_enable),
            memory.write_address.eq(self.write_address),
            memory.write_data.eq(self.write_data),
        ]
        segment = Signal(segment_layout())
        m.d.comb += segment.eq(memory.read_data)

        late = [self.i]
        for stage in range(self.LATENCY - 1):
            x = Signal(signed(16), name=f"i_{stage}", reset_less=True)
            m.d.sync += x.eq(late[-1])
            late.append(x)
        base = Signal(signed(16), reset_less=True)
        product = Signal(signed(25), reset_less=True)
        m.d.sync += [
            base.eq(segment.base),
            product.eq(segment.rise * late[memory.latency][:8]),
        ]
        line = Signal(signed(26))
        result = Signal(signed(16), reset_less=True)
        m.d.comb += line.eq((base << 8) + product + 128)
        m.d.sync += result.eq(Mux(self.on, line[8:24], late[-1]))
        m.d.comb += self.o.eq(result)
        return m
