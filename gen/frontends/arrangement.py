"""Arrangement: where the elements of a model file's tensor lie in a graph tensor.

A file's transposes and reshapes only rename axes here. Data moves when a task needs an order that
the tensor does not have, and never before.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

__all__ = ["Arrangement"]


@dataclass(frozen=True)
class Arrangement:
    """A file shape cut into factors, and the order of those factors in memory.

    Parameters
    ----------
    shape : tuple of int
        Shape in the model file.
    factors : tuple of int
        Sizes greater than 1 whose row-major product space is the file's; each axis of ``shape`` is
        a run of them. Held as few as possible, so that equal arrangements compare equal.
    order : tuple of int
        ``order[i]`` is the factor at place ``i`` of the row-major graph tensor.
    """

    shape: tuple[int, ...]
    factors: tuple[int, ...]
    order: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], axes: tuple[int, ...] | None = None) -> "Arrangement":
        """``shape`` stored with its axes in the order ``axes``; as in the file where None."""
        wide = [axis for axis, n in enumerate(shape) if n > 1]
        place = {axis: i for i, axis in enumerate(wide)}
        order = [place[axis] for axis in (axes or range(len(shape))) if axis in place]
        return cls(shape, tuple(shape[axis] for axis in wide), tuple(order))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the factors in memory order."""
        return tuple(self.factors[i] for i in self.order)

    def runs(self) -> list[tuple[int, ...]]:
        """The factors of each axis."""
        result, i = [], 0
        for size in self.shape:
            start, have = i, 1
            while have < size:
                have *= self.factors[i]
                i += 1
            result.append(tuple(range(start, i)))
        return result

    def flat(self, axes: tuple[int, ...]) -> tuple[int, ...]:
        """Factors in the order of the file's ``axes``."""
        runs = self.runs()
        return tuple(i for axis in axes for i in runs[axis])

    def reshape(self, shape: tuple[int, ...]) -> "Arrangement | None":
        """The same memory under another file shape; None where no common cut exists."""
        if prod(shape) != prod(self.shape):
            raise ValueError(f"cannot reshape {self.shape} to {shape}")
        cuts = {1}
        for sizes in (self.factors, shape):
            have = 1
            for size in sizes:
                have *= size
                cuts.add(have)
        points = sorted(cuts)
        pairs = list(pairwise(points))
        if any(b % a for a, b in pairs):
            return None
        fine = [b // a for a, b in pairs]
        parts: list[list[int]] = []
        i = 0
        for size in self.factors:
            part, have = [], 1
            while have < size:
                have *= fine[i]
                part.append(i)
                i += 1
            parts.append(part)
        order = tuple(i for factor in self.order for i in parts[factor])
        return Arrangement(shape, tuple(fine), order)._merged()

    def transpose(self, permutation: tuple[int, ...]) -> "Arrangement":
        """The same memory after the file transposes its axes."""
        sequence = self.flat(permutation)
        place = {old: new for new, old in enumerate(sequence)}
        return Arrangement(
            tuple(self.shape[axis] for axis in permutation),
            tuple(self.factors[i] for i in sequence),
            tuple(place[i] for i in self.order),
        )._merged()

    def _merged(self) -> "Arrangement":
        follows = dict(pairwise(self.order))
        groups: list[list[int]] = []
        for run in self.runs():
            for i in run:
                if groups and i != run[0] and follows.get(i - 1) == i:
                    groups[-1].append(i)
                else:
                    groups.append([i])
        first = {group[0]: n for n, group in enumerate(groups)}
        return Arrangement(
            self.shape,
            tuple(prod(self.factors[i] for i in group) for group in groups),
            tuple(first[i] for i in self.order if i in first),
        )

    def axes(self, held: tuple[int, ...]) -> tuple[int, ...] | None:
        """Permutation of the file's axes that gives the memory order; None where an axis is split.

        Axes of size 1 may stand anywhere; they go where ``held``, the graph tensor's shape, has
        them, else first.
        """
        runs = self.runs()
        if any(len(run) > 1 for run in runs):
            return None
        axis_of = {run[0]: axis for axis, run in enumerate(runs) if run}
        wide = [axis_of[i] for i in self.order]
        ones = [axis for axis, run in enumerate(runs) if not run]
        if len(held) == len(self.shape) and held.count(1) == len(ones):
            wide_left, ones_left = iter(wide), iter(ones)
            return tuple(next(ones_left) if n == 1 else next(wide_left) for n in held)
        return (*ones, *wide)
