"""Finding the loops of a program, so that its ROM holds each of them once."""

from collections.abc import Sequence

import numpy as np

from rtl.loops import Loops, Step
from rtl.memory import DISTRIBUTED

__all__ = ["folded"]

LONGEST = 64
"""Steps of the longest loop that is looked for."""


def folded(words: Sequence[int], widths: Sequence[int]) -> Sequence[int] | Loops:
    """A program in loops, where its words need block RAM and their loops at most half its bits;
    otherwise the words as they are.

    Differences between words repeat where words themselves count, so loops are looked for there.
    Of all ways to write the differences as steps and loops of up to :data:`LONGEST` steps, each
    loop going on as long as they repeat, the one with fewest steps is taken, found from the last
    step to the first (dynamic programming).

    Parameters
    ----------
    words
        Packed, in order.
    widths
        Bits of each field, least significant first.
    """
    if len(words) <= DISTRIBUTED:
        return words
    changes = _changes(words, widths)
    loops = Loops(tuple(widths), _steps(changes))
    plain = len(words) * sum(widths)
    return loops if 2 * len(loops.steps) * loops.width <= plain else words


def _changes(words: Sequence[int], widths: Sequence[int]) -> list[int]:
    """What each word changes in the one before, the first one in zeros."""
    changes, at = [0] * len(words), 0
    for width in widths:
        mask = (1 << width) - 1
        before = 0
        for index, word in enumerate(words):
            value = word >> at & mask
            changes[index] |= (value - before & mask) << at
            before = value
        at += width
    return changes


def _steps(changes: Sequence[int]) -> tuple[Step, ...]:
    """The fewest steps that make ``changes``."""
    names = {change: name for name, change in enumerate(dict.fromkeys(changes))}
    name = np.array([names[change] for change in changes])
    count = len(name)
    again = _repeats(name)
    lengths = np.arange(1, again.shape[1] + 1)
    fewest = np.zeros(count + 1, np.int64)
    chosen = np.zeros(count, np.int64)
    for first in range(count - 1, -1, -1):
        after = np.minimum(first + lengths * (again[first] + 1), count)
        needed = np.where(again[first] > 0, lengths + fewest[after], count + 1)
        best = int(needed.argmin())
        alone = 1 + fewest[first + 1]
        chosen[first] = lengths[best] if needed[best] < alone else 0
        fewest[first] = min(needed[best], alone)
    steps: list[Step] = []
    first = 0
    while first < count:
        length = int(chosen[first])
        if not length:
            steps.append(Step(changes[first]))
            first += 1
            continue
        times = int(again[first, length - 1])
        *body, last = changes[first : first + length]
        steps += [*map(Step, body), Step(last, length - 1, times)]
        first += length * (times + 1)
    return tuple(steps)


def _repeats(name: np.ndarray) -> np.ndarray:
    """``[first, length - 1]``: how often the ``length`` entries from ``first`` come again at once,
    of shape ``[entries, lengths]``."""
    count = len(name)
    longest = min(LONGEST, count // 2)
    again = np.zeros((count, longest), np.int64)
    for length in range(1, longest + 1):
        differs = np.flatnonzero(name[:-length] != name[length:])
        ends = np.append(differs, count - length)
        at = np.arange(count - length)
        again[: count - length, length - 1] = (ends[np.searchsorted(ends, at)] - at) // length
    return again
