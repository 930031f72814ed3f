"""Rings: tensors of which only a few rows are on chip at a time."""

from dataclasses import dataclass

__all__ = ["Ring"]


@dataclass(frozen=True)
class Ring:
    """``size`` bytes for the rows, of ``pitch`` bytes each, of a storage that has more of them:
    each row replaces the one ``size`` bytes before it.

    ``back`` names the storage whose rows are fetched back from off chip into the ring; the rows of
    one that ``leaves`` go there.
    """

    size: int
    pitch: int
    back: str | None = None
    leaves: bool = False

    def __post_init__(self) -> None:
        if self.pitch < 1 or self.size < self.pitch or self.size % self.pitch:
            raise ValueError(f"size must be a multiple of pitch ({self.pitch}), not {self.size}")

    def wrap(self, offset: int) -> int:
        """Bytes from ``offset`` on to the ring's end, where ``offset`` counts from the storage's
        first byte and may lie before it."""
        return self.size - offset % self.size
