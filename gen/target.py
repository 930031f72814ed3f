"""Target: the budget that an accelerator may spend."""

from dataclasses import dataclass

from rtl.config import CHANNELS

from .errors import UserError

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """A board's budget, or one set by hand.

    Parameters
    ----------
    multipliers
        Products in the array, at most.
    onchip_bytes
        Bytes of buffers and weight memory together, at most.
    offchip_bytes_per_cycle
        Data width of an AXI channel: a power of two from 4 to 64.
    channels
        AXI channels, of :data:`rtl.config.CHANNELS`: where weights are streamed, the last one
        carries them, beside the tensors on the first; otherwise only the first is built.
    luts
        Look-up tables that unrolled layers may take together.
    memory
        ``"rom"``: schedule and constants are the circuit's; ``"ram"``: loaded at run time.

    Raises
    ------
    UserError
        If a member is out of range.
    """

    multipliers: int = 144
    onchip_bytes: int = 512 * 1024
    offchip_bytes_per_cycle: int = 16
    channels: int = 1
    memory: str = "rom"
    luts: int = 20_000

    def __post_init__(self) -> None:
        if self.multipliers < 2:
            raise UserError(f"--multipliers must be at least 2, not {self.multipliers}")
        if self.onchip_bytes < 256:
            raise UserError(f"--onchip must be at least 1 KB, not {self.onchip_bytes} bytes")
        if self.offchip_bytes_per_cycle not in (4, 8, 16, 32, 64):
            raise UserError(
                f"--offchip must be 4, 8, 16, 32 or 64 bytes per cycle, "
                f"not {self.offchip_bytes_per_cycle}"
            )
        if self.channels not in CHANNELS:
            raise UserError(
                f"--channels must be {' or '.join(map(str, CHANNELS))}, not {self.channels}"
            )
        if self.luts < 0:
            raise UserError(f"--luts must not be negative, but is {self.luts}")
        if self.memory not in ("rom", "ram"):
            raise UserError(f"--memory must be rom or ram, not '{self.memory}'")
