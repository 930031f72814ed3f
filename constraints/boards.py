"""Boards: what the FPGA and the memory of each can give a design."""

import difflib
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gen.errors import UserError
from gen.target import Target

from .parts import PARTS, Part

__all__ = ["BOARDS", "Board", "board"]


@dataclass(frozen=True)
class Board:
    """A development board.

    Parameters
    ----------
    name
        As ``--board`` takes it.
    title
        As its vendor writes it.
    part
        The FPGA, a key of :data:`constraints.parts.PARTS`.
    memory_mb_per_second
        Peak rate of the external memory, or of the port through which the fabric reaches it.
    port_bytes
        The widest AXI port to that memory.
    clock_mhz
        A clock that the part reaches with this design; it sets the bytes per cycle.
    platform
        Module and class of the board's pins in ``amaranth_boards``; empty where it has none.
    host
        How a host reaches the design: ``"uart"``, ``"ps7"`` and ``"ps8"`` through the processor
        beside the fabric, ``"pcie"`` as a kernel of its shell; ``"axi"`` by nothing of ours.
    board_part
        What Vivado calls the board; empty where it needs no name.
    channels
        Memories that the board has of that rate, as far as a design uses them.
    """

    name: str
    title: str
    part: str
    memory_mb_per_second: int
    port_bytes: int
    clock_mhz: int
    platform: str = ""
    host: str = "uart"
    board_part: str = ""
    channels: int = 1

    @property
    def chip(self) -> Part:
        """What the FPGA has."""
        return PARTS[self.part]

    @property
    def offchip_bytes_per_cycle(self) -> int:
        """The widest AXI channel, a power of two, that the memory can fill at this clock."""
        rate = self.memory_mb_per_second / self.clock_mhz
        return max(w for w in (4, 8, 16, 32, 64) if w == 4 or w <= min(rate, self.port_bytes))

    def target(self, memory: str = "rom") -> Target:
        """The budget of an accelerator that has the board to itself.

        A third of the DSP slices stays with the epilogue, whose multipliers are wider than the
        array's, and an eighth of the block RAM with programs, queues and the board's own logic.
        UltraRAM does not count, since it has no first contents.
        """
        return Target(
            multipliers=self.chip.multipliers * 2 // 3,
            onchip_bytes=self.chip.onchip_bytes * 7 // 8,
            offchip_bytes_per_cycle=self.offchip_bytes_per_cycle,
            channels=self.channels,
            memory=memory,
        )

    def pins(self) -> Any:
        """The board's platform, with pins and connectors, from ``amaranth_boards``.

        Raises
        ------
        UserError
            If ``amaranth_boards`` does not know the board, or is not installed.
        """
        if not self.platform:
            raise UserError(f"the pins of '{self.name}' are not known; its host is {self.host}")
        module, _, name = self.platform.partition(":")
        try:
            return getattr(import_module(f"amaranth_boards.{module}"), name)()
        except ImportError as error:
            raise UserError("amaranth-boards is missing: pip install amaranth-boards") from error


_ALL = (
    # 16-bit DDR3L at 667 MT/s
    Board(
        "arty-a7-100t",
        "Digilent Arty A7-100T",
        "xc7a100tcsg324-1",
        memory_mb_per_second=1333,
        port_bytes=16,
        clock_mhz=100,
        platform="arty_a7:ArtyA7_100Platform",
    ),
    # 16-bit DDR2 at 650 MT/s
    Board(
        "nexys4-ddr",
        "Digilent Nexys 4 DDR",
        "xc7a100tcsg324-1",
        memory_mb_per_second=1300,
        port_bytes=16,
        clock_mhz=100,
        platform="nexys4ddr:Nexys4DDRPlatform",
    ),
    # 64-bit DDR3 SODIMM at 1600 MT/s
    Board(
        "kc705",
        "AMD KC705",
        "xc7k325tffg900-2",
        memory_mb_per_second=12800,
        port_bytes=64,
        clock_mhz=200,
        platform="kc705:KC705Platform",
    ),
    # 32-bit DDR3 at 1800 MT/s
    Board(
        "genesys2",
        "Digilent Genesys 2",
        "xc7k325tffg900-2",
        memory_mb_per_second=7200,
        port_bytes=32,
        clock_mhz=200,
        platform="genesys2:Genesys2Platform",
    ),
    # 64-bit DDR4 at 2400 MT/s
    Board(
        "kcu105",
        "AMD KCU105",
        "xcku040-ffva1156-2-e",
        memory_mb_per_second=19200,
        port_bytes=64,
        clock_mhz=250,
        platform="kcu105:KCU105Platform",
        host="axi",
    ),
    # 64-bit DDR4 at 2400 MT/s behind the processor's 128-bit high-performance ports
    Board(
        "rfsoc4x2",
        "RealDigital RFSoC 4x2",
        "xczu48dr-ffvg1517-2-e",
        memory_mb_per_second=19200,
        port_bytes=16,
        clock_mhz=250,
        platform="rfsoc4x2:RFSoC4x2Platform",
        host="ps8",
        board_part="realdigital.org:rfsoc4x2:part0:1.0",
    ),
    # 16-bit SDRAM at 166 MHz
    Board(
        "ulx3s-85f",
        "Radiona ULX3S-85F",
        "LFE5U-85F-6BG381C",
        memory_mb_per_second=332,
        port_bytes=4,
        clock_mhz=50,
        platform="ulx3s:ULX3S_85F_Platform",
    ),
    # 16-bit DDR3L at 800 MT/s, the most that ECP5 can
    Board(
        "ecpix-5",
        "LambdaConcept ECPIX-5 (85F)",
        "LFE5UM5G-85F-8BG554I",
        memory_mb_per_second=1600,
        port_bytes=16,
        clock_mhz=75,
        platform="ecpix5:ECPIX585Platform",
    ),
    # 16-bit DDR3 at 800 MT/s
    Board(
        "versa-ecp5",
        "Lattice Versa ECP5",
        "LFE5UM-45F-8BG381C",
        memory_mb_per_second=1600,
        port_bytes=16,
        clock_mhz=75,
        platform="versa_ecp5:VersaECP5Platform",
    ),
    # 16-bit DDR3 at 1050 MT/s behind the processor's 64-bit high-performance ports
    Board(
        "pynq-z2",
        "TUL PYNQ-Z2",
        "xc7z020clg400-1",
        memory_mb_per_second=2100,
        port_bytes=8,
        clock_mhz=100,
        host="ps7",
        board_part="tul.com.tw:pynq-z2:part0:1.0",
    ),
    # 64-bit DDR4 at 2400 MT/s behind the processor's 128-bit high-performance ports
    Board(
        "zcu104",
        "AMD ZCU104",
        "xczu7ev-ffvc1156-2-e",
        memory_mb_per_second=19200,
        port_bytes=16,
        clock_mhz=250,
        host="ps8",
        board_part="xilinx.com:zcu104:part0:1.1",
    ),
    # 64-bit DDR4 at 2400 MT/s behind the processor's 128-bit high-performance ports
    Board(
        "kv260",
        "AMD Kria KV260",
        "xck26-sfvc784-2LV-c",
        memory_mb_per_second=19200,
        port_bytes=16,
        clock_mhz=250,
        host="ps8",
        board_part="xilinx.com:kv260_som:part0:1.4",
    ),
    # two of its four 64-bit DDR4 channels at 2400 MT/s each
    Board(
        "u250",
        "AMD Alveo U250",
        "xcu250-figd2104-2L-e",
        memory_mb_per_second=19200,
        port_bytes=64,
        clock_mhz=300,
        host="pcie",
        channels=2,
    ),
    # two of the 32 pseudo channels of its HBM2, 256 bits at 450 MHz each
    Board(
        "u280",
        "AMD Alveo U280",
        "xcu280-fsvh2892-2L-e",
        memory_mb_per_second=14400,
        port_bytes=32,
        clock_mhz=300,
        host="pcie",
        channels=2,
    ),
)

BOARDS = {one.name: one for one in _ALL}
"""Every known board by its name."""


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def board(name: str) -> Board:
    """The board of that name, or whose name alone begins so; case and punctuation do not count.

    Raises
    ------
    UserError
        If there is none, listing those there are, the closest first.
    """
    known = {_plain(key): one for key, one in BOARDS.items()}
    wanted = _plain(name)
    begun = [key for key in known if wanted and key.startswith(wanted)]
    if wanted in known or len(begun) == 1:
        return known[wanted if wanted in known else begun[0]]

    def distance(key: str) -> float:
        return -difflib.SequenceMatcher(None, wanted, key).ratio()

    names = ", ".join(known[key].name for key in sorted(known, key=distance))
    raise UserError(f"--board '{name}' is not known; known boards, closest first: {names}")
