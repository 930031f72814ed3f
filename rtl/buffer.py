"""Buffer: byte-addressed on-chip memory with one unaligned read and one unaligned write a cycle."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .config import bits_for

__all__ = ["Buffer"]


class Buffer(wiring.Component):
    """Two banks of words, even and odd, so that ``word_bytes`` bytes may start at any byte.

    Read data are the two words that hold the addressed byte and its successors, the addressed word
    lowest, :attr:`LATENCY` cycles after the address; whoever reads shifts out the bytes it wants.

    Parameters
    ----------
    words
        Capacity in words, even.
    word_bytes
        Bytes per word, a power of two.

    Members
    -------
    read_address, read_data : byte address, two words
    write_enable, write_address, write_end, write_data : up to ``word_bytes`` bytes from any byte
        address on, to before place ``write_end`` of the two words from the addressed one on;
        visible to reads addressed :attr:`WRITE_LATENCY` cycles later
    """

    read_address: Signal
    read_data: Signal
    write_enable: Signal
    write_address: Signal
    write_end: Signal
    write_data: Signal

    LATENCY = 2
    WRITE_LATENCY = 3

    def __init__(self, words: int, *, word_bytes: int):
        if words < 2 or words % 2:
            raise ValueError(f"words must be even and positive, not {words}")
        self._words, self._word_bytes = words, word_bytes
        address = bits_for(words * word_bytes)
        super().__init__(
            {
                "read_address": In(address),
                "read_data": Out(16 * word_bytes),
                "write_enable": In(1),
                "write_address": In(address),
                "write_end": In(bits_for(2 * word_bytes)),
                "write_data": In(8 * word_bytes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size, word = self._word_bytes, 8 * self._word_bytes
        shift = (size - 1).bit_length()
        read_index, write_index = self.read_address[shift:], self.write_address[shift:]
        place = self.write_address[:shift]

        # The bytes lie in the same places of both banks; which of them are written differs. They
        # are turned there in two steps, by several bytes and by single ones.
        fine = shift // 2
        turned, data = (
            Signal(word, name=n, reset_less=True) for n in ("turned", "write_data_late")
        )
        left = Signal(fine, name="left", reset_less=True)
        write_late = Signal.like(write_index, name="write_index_late", reset_less=True)
        mask = Signal(2 * size)
        m.d.sync += [
            turned.eq(_turned(self.write_data, place[fine:] << fine)),
            left.eq(place[:fine]),
            data.eq(_turned(turned, left)),
            write_late.eq(write_index),
        ]
        for i in range(2 * size - 1):
            begun = place <= i if i < size - 1 else 1
            m.d.sync += mask[i].eq(self.write_enable & begun & (i < self.write_end))
        odd_write = write_late[0]

        attributes: dict = {"no_rw_check": 1, "ram_style": "block", "blank": 1}
        # A window that ends behind the last address goes on with the first.
        bits = len(read_index) - 1
        outputs = []
        for bank in range(2):
            ram = memory.Memory(
                shape=unsigned(word),
                depth=max(2, self._words // 2),
                init=[],
                attrs=attributes,
            )
            m.submodules[f"bank_{bank}"] = ram
            read, write = ram.read_port(), ram.write_port(granularity=8)
            # The even bank holds a window's second word where the window starts in an odd one.
            ahead_read = read_index[0] if bank == 0 else 0
            ahead_write = odd_write if bank == 0 else 0
            upper = odd_write ^ bank
            m.d.comb += read.addr.eq((read_index[1:] + ahead_read)[:bits])
            late = {
                "address": (write.addr, (write_late[1:] + ahead_write)[:bits]),
                "enable": (write.en, Mux(upper, mask[size:], mask[:size])),
            }
            for name, (port, value) in late.items():
                later = Signal.like(port, name=f"write_{name}_{bank}", reset_less=name != "enable")
                m.d.sync += later.eq(value)
                m.d.comb += port.eq(later)
            m.d.comb += write.data.eq(data)
            output = Signal(word, name=f"output_{bank}", reset_less=True)
            m.d.sync += output.eq(read.data)
            outputs.append(output)
        odd = [Signal(name=f"odd_{i}") for i in range(2)]
        m.d.sync += [odd[0].eq(read_index[0]), odd[1].eq(odd[0])]
        m.d.comb += self.read_data.eq(Mux(odd[1], Cat(outputs[1], outputs[0]), Cat(*outputs)))
        return m


def _turned(value, count):
    """A word turned left by so many bytes."""
    return (value.replicate(2) << (count << 3))[len(value) :]
