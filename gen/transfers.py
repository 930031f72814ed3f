"""Transfers: tensors between buffers and off-chip memory, in the order of their planning."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from rtl.config import TENSORS
from rtl.fetch import TENSOR

from . import schedule as regions
from .allocate import Lifetime
from .schedule import FetchPlan, SendPlan

__all__ = ["Transfers"]


class Transfers:
    """The transfers planned so far, where everything lies off chip, and when what is on chip is
    there.

    ``latest`` has, per lifetime and word of its storage, the count of groups stored, or where it is
    fetched of beats, at which the word is there. ``fetched`` are the beats of each channel.
    """

    def __init__(
        self,
        storages: Mapping[str, int],
        lives: Sequence[Lifetime],
        inputs: Sequence[str],
        outputs: Sequence[str],
        word_bytes: int,
        axi_bytes: int,
        channels: int,
        stream_bytes: int,
    ):
        self.storages, self.lives = storages, lives
        self.word_bytes, self.axi_bytes = word_bytes, axi_bytes
        self.fetches: list[list[FetchPlan]] = [[] for _ in range(channels)]
        self.fetched = [0] * channels
        self.sends: list[SendPlan] = []
        self.region_bytes = [0, 0, 0, 0]
        self.latest = [np.zeros(life.extent // word_bytes, dtype=np.int64) for life in lives]
        # Per lifetime, the byte at which each of its transfers to memory ends, and its number.
        self._left: dict[int, list[tuple[int, int]]] = {}
        self._places: dict[str, tuple[int, int]] = {}
        for region, names in ((regions.INPUTS, inputs), (regions.OUTPUTS, outputs)):
            for name in names:
                self._places[name] = region, self._offset(region, storages[name])
        self.region_bytes[regions.WEIGHTS] = stream_bytes

    def _offset(self, region: int, size: int) -> int:
        offset = self.region_bytes[region]
        self.region_bytes[region] += -(-size // self.axi_bytes) * self.axi_bytes
        return offset

    def place(self, name: str) -> tuple[int, int]:
        """Region and offset of a storage off chip; of one that comes and goes, a place is made."""
        if name not in self._places:
            self._places[name] = regions.SPILLS, self._offset(regions.SPILLS, self.storages[name])
        return self._places[name]

    def left(self, name: str, end: int | None = None) -> int:
        """Transfers to memory when a storage has left, or all of it before byte ``end``."""
        return max((self.left_by(i, end) for i, s in enumerate(self.lives) if s.storage == name),
                   default=0)  # fmt: skip

    def left_by(self, life: int, end: int | None = None) -> int:
        """The same of a lifetime; 0 if nothing of it leaves."""
        numbers = self._left.get(life, ())
        first = [last for last, _ in numbers if end is None or last < end]
        return numbers[min(len(first), len(numbers) - 1)][1] if numbers else 0

    def sent(self, life: int) -> bool:
        """Whether any of a lifetime has been sent."""
        return life in self._left

    def _pieces(self, life: int, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The bytes from ``first`` to before ``last``, cut where a ring ends."""
        stay = self.lives[life]
        while first < last:
            until = last if stay.ring is None else min(last, first + stay.ring.wrap(first))
            yield first, until
            first = until

    def fetch(
        self,
        life: int,
        first: int,
        last: int,
        *,
        gathered: tuple[int, ...],
        stored: tuple[int, ...],
        sent: int,
    ) -> None:
        """Brings bytes from ``first`` to before ``last`` of a lifetime's storage, when each core
        has gathered and stored so much, and so many transfers are sent."""
        stay = self.lives[life]
        region, offset = self.place((stay.ring and stay.ring.back) or stay.storage)
        for begin, end in self._pieces(life, first, last):
            beats = -(-(end - begin) // self.axi_bytes)
            plan = FetchPlan(
                name=stay.storage,
                region=region,
                offset=offset + begin,
                beats=beats,
                target=TENSOR,
                buffer=stay.buffer,
                address=stay.place(begin),
                gathered=gathered,
                passed=(0,) * len(gathered),
                stored=stored,
                sent=sent,
                life=life,
                first=begin,
            )
            self.fetches[TENSORS].append(plan)
            self._lands(plan)
            self.fetched[TENSORS] += beats

    def _lands(self, plan: FetchPlan) -> None:
        """Marks the beats that have come when each word is there that ``plan`` brings."""
        latest, beats = self.latest[plan.life], np.arange(1, plan.beats + 1)
        words = (plan.first + self.axi_bytes * (beats - 1)) // self.word_bytes
        inside = words < len(latest)
        latest[words[inside]] = self.fetched[TENSORS] + beats[inside]

    def send(
        self, life: int, first: int, last: int, *, producer: int, parts: Sequence[int] = (1,)
    ) -> None:
        """Takes the same bytes to memory, in parts of such shares, as soon as each is written."""
        stay = self.lives[life]
        region, offset = self.place(stay.storage)
        for begin, end in self._pieces(life, first, last):
            beats = -(-(end - begin) // self.axi_bytes)
            edges = np.unique(np.cumsum((0, *parts)) * beats // sum(parts))
            for low, high in pairwise((begin + self.axi_bytes * edges).tolist()):
                words = slice(low // self.word_bytes, -(-high // self.word_bytes))
                self.sends.append(
                    SendPlan(
                        name=stay.storage,
                        region=region,
                        offset=offset + low,
                        beats=(high - low) // self.axi_bytes,
                        buffer=stay.buffer,
                        address=stay.place(low),
                        producer=producer,
                        stored=int(self.latest[life][words].max()),
                        life=life,
                        first=low,
                    )
                )
                self._left.setdefault(life, []).append((high, len(self.sends)))
