"""A memory with one write and one read port, as block RAM has them."""

from collections.abc import Sequence

from amaranth import Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for

__all__ = ["DISTRIBUTED", "Memory"]

DISTRIBUTED = 64
"""Words of the largest memory that may lie in lookup tables."""


class Memory(wiring.Component):
    """``depth`` words of ``width`` bits; read data come two cycles after their address.

    Nothing in Intarsia reads a word in the cycle that writes it: the progress tokens release a word
    to its reader after the write. So collisions are declared irrelevant (``no_rw_check``), which is
    what lets ECP5 and UltraRAM map the memory.

    Parameters
    ----------
    width, depth
        Word size in bits, number of words.
    init
        First contents, at most ``depth`` words; zeros follow.
    blank
        Nothing reads a word behind ``init`` before it is written, so that no zeros need be there.
    writable
        False builds a ROM.
    registered
        False drops the output register: data come one cycle after their address.
    style
        Value of the ``ram_style`` attribute. By default that is ``"block"`` beyond
        :data:`DISTRIBUTED` words, and the tool's choice up to there.

    Members
    -------
    read_address, read_data
    write_enable, write_address, write_data

    Raises
    ------
    ValueError
        If the size is not positive or ``init`` is longer than the memory.
    """

    read_address: Signal
    read_data: Signal
    write_enable: Signal
    write_address: Signal
    write_data: Signal

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        init: Sequence[int] = (),
        writable: bool = True,
        registered: bool = True,
        blank: bool = False,
        style: str | None = None,
    ):
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, not {width} and {depth}")
        if len(init) > depth:
            raise ValueError(f"init must be at most {depth} words, not {len(init)}")
        self.depth = depth
        self.latency = 2 if registered else 1
        if style is None and depth > DISTRIBUTED:
            style = "block"
        self._width, self._init, self._writable, self._style = width, init, writable, style
        self._blank = blank
        super().__init__(
            {
                "read_address": In(bits_for(depth)),
                "read_data": Out(width),
                "write_enable": In(1),
                "write_address": In(bits_for(depth)),
                "write_data": In(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        attributes: dict = {"no_rw_check": 1}
        if self._blank:
            attributes["blank"] = 1
        if self._style:
            attributes["ram_style"] = self._style
        m.submodules.memory = ram = memory.Memory(
            shape=unsigned(self._width),
            depth=max(2, self.depth),
            init=list(self._init),
            attrs=attributes,
        )
        read = ram.read_port()
        m.d.comb += read.addr.eq(self.read_address)
        if self.latency == 2:
            output = Signal(self._width, reset_less=True)
            m.d.sync += output.eq(read.data)
            m.d.comb += self.read_data.eq(output)
        else:
            m.d.comb += self.read_data.eq(read.data)
        if self._writable:
            write = ram.write_port()
            m.d.comb += [
                write.en.eq(self.write_enable),
                write.addr.eq(self.write_address),
                write.data.eq(self.write_data),
            ]
        return m
