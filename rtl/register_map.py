"""Register map: written once; the circuit, the host's driver, C and the manual are made of it."""

from dataclasses import dataclass

__all__ = ["REGISTERS", "VERSION", "Bit", "Register", "register"]

VERSION = 0x0001_0000
"""Major and minor version of the register map."""


@dataclass(frozen=True)
class Bit:
    """One bit of a register."""

    name: str
    place: int
    meaning: str


@dataclass(frozen=True)
class Register:
    """A word of 32 bits, or several that follow each other.

    Parameters
    ----------
    name
        In capitals, words joined by underscores.
    offset
        Byte address of the first word, a multiple of four.
    meaning
        What it holds, one sentence.
    readable, writable
        Reading one that is not readable gives 0, writing one that is not writable does nothing.
    words
        Names of the words; empty where there is just one.
    bits
        Bits that have a meaning of their own.
    """

    name: str
    offset: int
    meaning: str
    readable: bool = False
    writable: bool = False
    words: tuple[str, ...] = ()
    bits: tuple[Bit, ...] = ()

    def __post_init__(self) -> None:
        if self.offset % 4 or self.offset < 0:
            raise ValueError(f"{self.name}: offset must be a multiple of four, not {self.offset}")
        if not (self.readable or self.writable):
            raise ValueError(f"{self.name} must be readable or writable")

    @property
    def offsets(self) -> tuple[int, ...]:
        """Byte address of each word."""
        return tuple(self.offset + 4 * i for i in range(max(1, len(self.words))))

    def mask(self, bit: str) -> int:
        """The value in which only ``bit`` is set."""
        return next(1 << one.place for one in self.bits if one.name == bit)


REGISTERS = (
    Register("VERSION", 0x00, "Major version in the upper half, minor in the lower.", True),
    Register(
        "CONTROL",
        0x04,
        "Starts a run.",
        writable=True,
        bits=(Bit("START", 0, "written as 1 starts a run, unless one is under way"),),
    ),
    Register(
        "STATUS",
        0x08,
        "How the run stands.",
        readable=True,
        bits=(
            Bit("DONE", 0, "a run has ended, and none has begun since"),
            Bit("BUSY", 1, "a run is under way"),
            Bit("ERROR", 2, "an AXI response of this run said error"),
        ),
    ),
    Register("CYCLES", 0x0C, "Cycles from the accepted start until done.", True),
    Register("STALLS", 0x10, "Those of them in which the array had to wait.", True),
    Register(
        "REGION",
        0x20,
        "Base addresses off chip; kept during a run.",
        readable=True,
        writable=True,
        words=("INPUTS", "OUTPUTS", "WEIGHTS", "SPILLS"),
    ),
    Register("LOAD_SELECT", 0x40, "The memory to load, by its number.", writable=True),
    Register("LOAD_INDEX", 0x44, "The first word to load; counts up by itself.", writable=True),
    Register("LOAD_DATA", 0x48, "A slice of 32 bits of a word, the lowest first.", writable=True),
)
"""Every register, in the order of addresses."""


def register(name: str) -> Register:
    """The register of that name."""
    return next(one for one in REGISTERS if one.name == name)
