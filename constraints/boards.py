"""Boards: what the FPGA and the memory of each can give a design."""

import difflib
from dataclasses import dataclass

from gen.errors import UserError
from gen.target import Target

__all__ = ["BOARDS", "Board", "board"]

SERIES7_BLOCK = ULTRASCALE_BLOCK = 4096
"""Bytes of a 36 Kbit block RAM, without its parity bits."""

ECP5_BLOCK = 2048
"""Bytes of an 18 Kbit block RAM, without its parity bits."""


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
        Ordering code of the FPGA.
    multipliers
        DSP slices of the part: one int8 product each.
    onchip_bytes
        Block RAM without parity bits. UltraRAM does not count, since it has no first contents.
    memory_mb_per_second
        Peak rate of the external memory, or of the port through which the fabric reaches it.
    port_bytes
        The widest AXI port to that memory.
    clock_mhz
        A clock that the part reaches with this design; it sets the bytes per cycle.
    channels
        Memories that the board has of that rate, as far as a design uses them.
    """

    name: str
    title: str
    part: str
    multipliers: int
    onchip_bytes: int
    memory_mb_per_second: int
    port_bytes: int
    clock_mhz: int
    channels: int = 1

    @property
    def offchip_bytes_per_cycle(self) -> int:
        """The widest AXI channel, a power of two, that the memory can fill at this clock."""
        rate = self.memory_mb_per_second / self.clock_mhz
        return max(w for w in (4, 8, 16, 32, 64) if w == 4 or w <= min(rate, self.port_bytes))

    def target(self, memory: str = "rom") -> Target:
        """The budget of an accelerator that has the board to itself.

        A third of the DSP slices stays with the epilogue, whose multipliers are wider than the
        array's, and an eighth of the block RAM with programs, queues and the board's own logic.
        """
        return Target(
            multipliers=self.multipliers * 2 // 3,
            onchip_bytes=self.onchip_bytes * 7 // 8,
            offchip_bytes_per_cycle=self.offchip_bytes_per_cycle,
            channels=self.channels,
            memory=memory,
        )


_ALL = (
    # 16-bit DDR3L at 667 MT/s
    Board(
        "arty-a7-100t",
        "Digilent Arty A7-100T",
        "xc7a100tcsg324-1",
        multipliers=240,
        onchip_bytes=135 * SERIES7_BLOCK,
        memory_mb_per_second=1333,
        port_bytes=16,
        clock_mhz=100,
    ),
    # 16-bit DDR2 at 650 MT/s
    Board(
        "nexys4-ddr",
        "Digilent Nexys 4 DDR",
        "xc7a100tcsg324-1",
        multipliers=240,
        onchip_bytes=135 * SERIES7_BLOCK,
        memory_mb_per_second=1300,
        port_bytes=16,
        clock_mhz=100,
    ),
    # 64-bit DDR3 SODIMM at 1600 MT/s
    Board(
        "kc705",
        "AMD KC705",
        "xc7k325tffg900-2",
        multipliers=840,
        onchip_bytes=445 * SERIES7_BLOCK,
        memory_mb_per_second=12800,
        port_bytes=64,
        clock_mhz=200,
    ),
    # 32-bit DDR3 at 1800 MT/s
    Board(
        "genesys2",
        "Digilent Genesys 2",
        "xc7k325tffg900-2",
        multipliers=840,
        onchip_bytes=445 * SERIES7_BLOCK,
        memory_mb_per_second=7200,
        port_bytes=32,
        clock_mhz=200,
    ),
    # 64-bit DDR4 at 2400 MT/s
    Board(
        "kcu105",
        "AMD KCU105",
        "xcku040-ffva1156-2-e",
        multipliers=1920,
        onchip_bytes=600 * ULTRASCALE_BLOCK,
        memory_mb_per_second=19200,
        port_bytes=64,
        clock_mhz=250,
    ),
    # 16-bit SDRAM at 166 MHz
    Board(
        "ulx3s-85f",
        "Radiona ULX3S-85F",
        "LFE5U-85F-6BG381C",
        multipliers=156,
        onchip_bytes=208 * ECP5_BLOCK,
        memory_mb_per_second=332,
        port_bytes=4,
        clock_mhz=50,
    ),
    # 16-bit DDR3L at 800 MT/s, the most that ECP5 can
    Board(
        "ecpix-5",
        "LambdaConcept ECPIX-5 (85F)",
        "LFE5UM5G-85F-8BG554I",
        multipliers=156,
        onchip_bytes=208 * ECP5_BLOCK,
        memory_mb_per_second=1600,
        port_bytes=16,
        clock_mhz=75,
    ),
    # 16-bit DDR3 at 1050 MT/s behind the processor's 64-bit high-performance ports
    Board(
        "pynq-z2",
        "TUL PYNQ-Z2",
        "xc7z020clg400-1",
        multipliers=220,
        onchip_bytes=140 * SERIES7_BLOCK,
        memory_mb_per_second=2100,
        port_bytes=8,
        clock_mhz=100,
    ),
    # 64-bit DDR4 at 2400 MT/s behind the processor's 128-bit high-performance ports
    Board(
        "zcu104",
        "AMD ZCU104",
        "xczu7ev-ffvc1156-2-e",
        multipliers=1728,
        onchip_bytes=312 * ULTRASCALE_BLOCK,
        memory_mb_per_second=19200,
        port_bytes=16,
        clock_mhz=250,
    ),
    # 64-bit DDR4 at 2400 MT/s behind the processor's 128-bit high-performance ports
    Board(
        "kv260",
        "AMD Kria KV260",
        "xck26-sfvc784-2LV-c",
        multipliers=1248,
        onchip_bytes=144 * ULTRASCALE_BLOCK,
        memory_mb_per_second=19200,
        port_bytes=16,
        clock_mhz=250,
    ),
    # two of its four 64-bit DDR4 channels at 2400 MT/s each
    Board(
        "u250",
        "AMD Alveo U250",
        "xcu250-figd2104-2L-e",
        multipliers=12288,
        onchip_bytes=2688 * ULTRASCALE_BLOCK,
        memory_mb_per_second=19200,
        port_bytes=64,
        clock_mhz=300,
        channels=2,
    ),
)

BOARDS = {one.name: one for one in _ALL}
"""Every known board by its name."""


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def board(name: str) -> Board:
    """The board of that name; case and punctuation do not count.

    Raises
    ------
    UserError
        If there is none, listing those there are, the closest first.
    """
    known = {_plain(key): one for key, one in BOARDS.items()}
    wanted = _plain(name)
    if wanted in known:
        return known[wanted]

    def distance(key: str) -> float:
        return -difflib.SequenceMatcher(None, wanted, key).ratio()

    names = ", ".join(known[key].name for key in sorted(known, key=distance))
    raise UserError(f"--board '{name}' is not known; known boards, closest first: {names}")
