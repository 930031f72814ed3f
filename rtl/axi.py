"""AXI4 and AXI4-Lite ports, by the names that every tool knows."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ADDRESS_BITS", "LITE_ADDRESS_BITS", "PAGE", "axi4", "axi4_lite"]

ADDRESS_BITS = 32
LITE_ADDRESS_BITS = 16
PAGE = 4096
"""Bytes that no burst may cross."""


def axi4(data_bytes: int) -> wiring.Signature:
    """An AXI4 master without identifiers: responses come in order; bursts are INCR."""
    members: dict = {}
    for channel in ("ar", "aw"):
        members |= {
            f"{channel}addr": Out(ADDRESS_BITS),
            f"{channel}len": Out(8),
            f"{channel}size": Out(3),
            f"{channel}burst": Out(2),
            f"{channel}valid": Out(1),
            f"{channel}ready": In(1),
        }
    return wiring.Signature(
        members
        | {
            "rdata": In(8 * data_bytes),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
            "wdata": Out(8 * data_bytes),
            "wstrb": Out(data_bytes),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
        }
    )


def axi4_lite() -> wiring.Signature:
    """An AXI4-Lite slave of 32-bit registers, seen from the slave."""
    return wiring.Signature(
        {
            "awaddr": In(LITE_ADDRESS_BITS),
            "awvalid": In(1),
            "awready": Out(1),
            "wdata": In(32),
            "wstrb": In(4),
            "wvalid": In(1),
            "wready": Out(1),
            "bresp": Out(2),
            "bvalid": Out(1),
            "bready": In(1),
            "araddr": In(LITE_ADDRESS_BITS),
            "arvalid": In(1),
            "arready": Out(1),
            "rdata": Out(32),
            "rresp": Out(2),
            "rvalid": Out(1),
            "rready": In(1),
        }
    )
