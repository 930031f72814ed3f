"""Work: the operations of a machine's cores, in order, before anything has an address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .errors import UserError
from .operation import Geometry, Operation
from .ring import Ring

__all__ = ["Site", "Work"]


@dataclass(frozen=True)
class Site:
    """A core to plan for: its array, and the bits of its weights."""

    geometry: Geometry
    weight_bits: int

    @property
    def word_bytes(self) -> int:
        """Of a weight word."""
        return self.geometry.weight_word_bytes(self.weight_bits)


@dataclass(frozen=True)
class Work:
    """Operations in order, each with its core; the bytes of each storage; the cores' sites; and the
    storages that are on chip a few rows at a time."""

    operations: tuple[tuple[Operation, int], ...]
    storages: Mapping[str, int]
    sites: tuple[Site, ...]
    rings: Mapping[str, Ring] = field(default_factory=dict)

    def of(self, core: int) -> list[Operation]:
        """The operations of a core."""
        return [op for op, own in self.operations if own == core]

    def homes(self, inputs: Sequence[str]) -> dict[str, int]:
        """The buffer of each storage where there are several cores: that of the core that writes
        it, or the last, which is that of what is fetched. Anywhere if there is one core.

        Raises
        ------
        UserError
            If several cores would write one storage.
        """
        cores = len(self.sites)
        if cores == 1:
            return {}
        result = dict.fromkeys(inputs, cores)
        result |= {name: cores for name, ring in self.rings.items() if ring.back is not None}
        for op, core in self.operations:
            if result.setdefault(op.sink.storage, core) != core:
                raise UserError(f"task '{op.tasks[0]}' must run on the core of what it joins")
        return result
