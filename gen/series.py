"""Series: cycles in which things happen one after another, held as runs."""

from bisect import bisect_right

__all__ = ["Series"]


class Series:
    """Cycles in rising order; those of a run are equally far apart.

    ``counts`` are how many come before each run, ``firsts`` its first cycle, ``steps`` the cycles
    from one of its members to the next. ``last`` is the latest cycle of all.
    """

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.firsts: list[int] = []
        self.steps: list[int] = []
        self.count = self.last = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        run = bisect_right(self.counts, index) - 1
        return self.firsts[run] + (index - self.counts[run]) * self.steps[run]

    def extend(self, first: int, count: int = 1, step: int = 1) -> None:
        """Adds ``count`` cycles from ``first`` on, which are ``step`` apart."""
        gap = first - self.last
        single = count == 1 or gap == step
        if single and self.counts and (self.count - self.counts[-1] == 1 or gap == self.steps[-1]):
            self.steps[-1] = gap
        else:
            self.counts.append(self.count)
            self.firsts.append(first)
            self.steps.append(step)
        self.count += count
        self.last = first + (count - 1) * step

    def since(self, index: int) -> list[tuple[int, int, int]]:
        """What :meth:`extend` would add again of those from ``index`` on."""
        found: list[tuple[int, int, int]] = []
        while index < self.count:
            run = bisect_right(self.counts, index)
            until = self.counts[run] if run < len(self.counts) else self.count
            count = until - index
            found.append((self[index], count, self.steps[run - 1] if count > 1 else 1))
            index = until
        return found

    def repeat(self, index: int, times: int, period: int) -> None:
        """Adds those from ``index`` on so many ``times`` again, each a ``period`` later."""
        runs = self.since(index)
        if len(runs) == 1:
            first, count, step = runs[0]
            step = step if count > 1 else period
            if count * step == period:
                self.extend(first + period, times * count, step)
                return
        for n in range(1, times + 1):
            for first, count, step in runs:
                self.extend(first + n * period, count, step)
