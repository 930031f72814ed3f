"""A program in loops: what each of its words changes in the one before."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Loops", "Step"]


@dataclass(frozen=True)
class Step:
    """A word, as its difference from the one before.

    ``change`` is packed: a difference per field, modulo its width. The last step of a loop goes
    ``back`` so many steps, ``again`` times before the program moves on; of all others both are 0.
    """

    change: int
    back: int = 0
    again: int = 0


@dataclass(frozen=True)
class Loops:
    """Steps that make a program's words, from a word of zeros; loops do not nest.

    Parameters
    ----------
    widths
        Bits of each field of a word, least significant first.
    steps
        In order of their first use.
    """

    widths: Sequence[int]
    steps: Sequence[Step]

    @property
    def back_bits(self) -> int:
        return max(step.back for step in self.steps).bit_length()

    @property
    def again_bits(self) -> int:
        return max(step.again for step in self.steps).bit_length()

    @property
    def width(self) -> int:
        """Stored bits of a step."""
        return sum(self.widths) + self.back_bits + self.again_bits

    def stored(self) -> list[int]:
        """The bits of each step: its change, from bit 0, then ``back``, then ``again``."""
        word = sum(self.widths)
        return [
            step.change | step.back << word | step.again << (word + self.back_bits)
            for step in self.steps
        ]
