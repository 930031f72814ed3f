"""Group: what the lanes make in a cycle, on its way to a buffer."""

from amaranth.lib import data

from .config import bits_for

__all__ = ["group_layout"]


def group_layout(lanes: int, *, element_bits: int, address_bits: int) -> data.StructLayout:
    """``count`` bytes of results, to be written from byte ``address`` on.

    Units that work on groups only hand ``address`` on, so it may hold a buffer's number too.
    """
    size = lanes * element_bits
    return data.StructLayout(
        {"address": address_bits, "count": bits_for(size // 8 + 1), "data": size}
    )
