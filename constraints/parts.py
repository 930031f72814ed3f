"""Parts: the resources of each FPGA, as its vendor counts them."""

from dataclasses import dataclass

__all__ = ["FAMILIES", "PARTS", "Family", "Part"]


@dataclass(frozen=True)
class Family:
    """What the parts of a series have in common.

    Parameters
    ----------
    synth
        The Yosys command that maps to it.
    multiplier
        What a multiplier is called.
    block_bytes
        Bytes of a block RAM, without its parity bits.
    ultra_bytes
        Bytes of an UltraRAM; 0 where there is none.
    """

    synth: str
    multiplier: str
    block_bytes: int
    ultra_bytes: int = 0


FAMILIES = {
    "xc7": Family("synth_xilinx -family xc7", "DSP48E1", 4096),
    "xcu": Family("synth_xilinx -family xcu", "DSP48E2", 4096),
    "xcup": Family("synth_xilinx -family xcup", "DSP48E2", 4096, 32768),
    "ecp5": Family("synth_ecp5", "MULT18X18D", 2048),
}
"""Series by the name that Yosys gives them: 7, UltraScale, UltraScale+, ECP5."""


@dataclass(frozen=True)
class Part:
    """An FPGA.

    Parameters
    ----------
    family
        A key of :data:`FAMILIES`.
    multipliers
        DSP slices, or ECP5's 18-bit multipliers.
    blocks
        Block RAMs: of 36 Kbit, 18 Kbit on ECP5.
    luts
        Lookup tables: of six inputs, four on ECP5.
    ultra
        UltraRAMs of 288 Kbit.
    """

    family: str
    multipliers: int
    blocks: int
    luts: int
    ultra: int = 0

    @property
    def onchip_bytes(self) -> int:
        """Block RAM without parity bits."""
        return self.blocks * FAMILIES[self.family].block_bytes


PARTS = {
    "xc7a100tcsg324-1": Part("xc7", 240, 135, 63_400),
    "xc7k325tffg900-2": Part("xc7", 840, 445, 203_800),
    "xc7z020clg400-1": Part("xc7", 220, 140, 53_200),
    "xcku040-ffva1156-2-e": Part("xcu", 1920, 600, 242_400),
    "xczu48dr-ffvg1517-2-e": Part("xcup", 4272, 1080, 425_280, 80),
    "xczu7ev-ffvc1156-2-e": Part("xcup", 1728, 312, 230_400, 96),
    "xck26-sfvc784-2LV-c": Part("xcup", 1248, 144, 117_120, 64),
    "xcu250-figd2104-2L-e": Part("xcup", 12288, 2688, 1_728_000, 1280),
    "xcu280-fsvh2892-2L-e": Part("xcup", 9024, 2016, 1_303_680, 960),
    "LFE5U-85F-6BG381C": Part("ecp5", 156, 208, 83_640),
    "LFE5UM5G-85F-8BG554I": Part("ecp5", 156, 208, 83_640),
    "LFE5UM-45F-8BG381C": Part("ecp5", 72, 108, 43_848),
}
"""Every part of a known board, by its ordering code."""
