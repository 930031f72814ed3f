"""Pipelines: a core for each task, each row as soon as the rows are there that it reads.

A max-plus recurrence over rows (Baccelli et al., Synchronization and Linearity, 1992) whose times
depend on which array each stage has; a constraint solver chooses these within a budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from .lower import Lowered
from .operation import Operation
from .rows import output_rows, pitches, rows_from, rows_until
from .solver import solved

__all__ = [
    "MOST_ROWS",
    "Balance",
    "Link",
    "Option",
    "Stage",
    "arrivals",
    "balance",
    "links",
    "quickest",
]

MOST_ROWS = 96
"""Of higher images, each row is a small share of all, so that they need not be looked at singly."""


@dataclass(frozen=True)
class Option:
    """An array that a stage could have, of so many ``multipliers``.

    A row takes it its ``times``, of which ``early`` may pass before the last thing is there that
    the row waits for; all rows together take no less than ``total``, of which ``begun`` may pass
    before that of the first row is there. A row's results take ``passes`` to be added to what lies
    beside them, which begins when all of that is there.
    """

    multipliers: int
    times: tuple[int, ...]
    early: tuple[int, ...]
    total: int = 0
    begun: int = 0
    passes: int = 0


@dataclass(frozen=True)
class Link:
    """A stage reads another: for each of its rows, how many rows of that it needs; ``beside`` the
    array's results, or else as the array's operands."""

    maker: int
    needs: tuple[int, ...]
    beside: bool = False


@dataclass(frozen=True)
class Stage:
    """What a core could be, and what its rows wait for: those of other stages, and the cycles in
    which they ``arrive`` from off chip; and how long after each row it and those below must take to
    ``leave``, if they do."""

    options: tuple[Option, ...]
    links: tuple[Link, ...]
    arrive: tuple[int, ...]
    leave: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        return len(self.arrive)


@dataclass(frozen=True)
class Balance:
    """Of each stage the option that it has, when the last row of all is made and has left, and the
    earliest cycle in which it could."""

    chosen: tuple[int, ...]
    cycles: int
    bound: int


def links(
    lowered: Lowered, groups: Sequence[tuple[str, ...]], element_bytes: int
) -> list[tuple[Operation, int, tuple[Link, ...]]]:
    """Of each group its first operation, its rows, and what is known to be waited for.

    A group of several operations counts as one row. It waits for what the first row of all of them
    needs; it is not known when another can begin that reads some of it.
    """
    made: dict[str, tuple[int, int, int]] = {}
    found = []
    for group in groups:
        ops = [op for op in lowered.operations if op.tasks[0] in group]
        rows = output_rows(ops[0]) if len(ops) == 1 else 1
        own = {}
        for storage in {name for op in ops for name in op.reads} & made.keys():
            maker, height, pitch = made[storage]
            each = [_needs(op, storage, rows, height, pitch) for op in ops]
            size = lowered.storages[storage] // element_bytes
            if len(ops) == 1 and _whole(ops[0], storage) >= size:
                each = [(height,) * rows]
            own[storage] = Link(maker, tuple(map(min, zip(*each, strict=True))))
        if len(ops) == 1 and ops[0].residual is not None:
            storage = ops[0].residual.place.storage
            alike = storage in own and made[storage][1:] == (rows, pitches(ops[0])[1])
            if alike and storage != ops[0].window.storage:
                own[storage] = Link(own[storage].maker, tuple(range(1, rows + 1)), beside=True)
        number = len(found)
        found.append((ops[0], rows, tuple(own.values())))
        for op in ops:
            pitch = pitches(op)[2] if len(ops) == 1 else 0
            made[op.sink.storage] = number, rows, pitch
    return found


def _needs(op: Operation, storage: str, rows: int, height: int, pitch: int) -> tuple[int, ...]:
    """Of a storage of ``height`` rows, how many the rows of an operation and those below need; none
    if it sees other rows there."""
    window = op.window
    alike = window.storage == storage and window.height == height and window.pitch == pitch
    if not alike or height == 1 or rows_from(op, rows - 1) >= height:
        return (0,) * rows
    needs = [rows_until(op, n) for n in range(1, rows + 1)]
    if window.sweep is None and window.line_stride > 1:
        # Lines of the last rows may pass the image's last row by.
        needs = [max(0, min(n, height - window.line_stride + 1)) for n in needs]
    return tuple(min(needs[n:]) for n in range(rows))


def _whole(op: Operation, storage: str) -> int:
    """Elements that an operation of one pixel reads of a storage at once."""
    window = op.window
    if window.storage != storage or window.pixel_count > 1 or window.segments is not None:
        return 0
    return window.run * window.taps * window.lines


def arrivals(lowered: Lowered, op: Operation, rows: int, beat: int) -> list[int]:
    """How many cycles what each row of an operation reads takes to pass the channel, in beats of so
    many bytes, if it comes from off chip."""
    window, size = op.window, lowered.storages[op.window.storage]
    made = any(one.sink.storage == window.storage for one in lowered.operations)
    unit = size // max(1, window.height * window.pitch)
    if made or unit * window.height * window.pitch != size:
        return [0] * rows
    return [-(-unit * rows_until(op, n) * window.pitch // beat) for n in range(1, rows + 1)]


def quickest(options: Sequence[Option]) -> tuple[Option, ...]:
    """Those than which no other is as small and nowhere later."""
    kept: list[Option] = []
    known: np.ndarray | None = None
    for one in sorted(options, key=lambda o: (o.multipliers, o.total, sum(o.times))):
        times, early = np.array(one.times), np.array(one.early)
        sums = [one.total, one.total - one.begun, one.passes]
        ends = np.concatenate((times, times - early, sums))[None]
        if known is None:
            known = ends
        elif (known <= ends).all(axis=1).any():
            continue
        else:
            known = np.concatenate((known, ends))
        kept.append(one)
    return tuple(kept)


def balance(
    stages: Sequence[Stage], budget: int, *, hop: int, beside: int, seconds: float
) -> Balance | None:
    """The options with which the last row of all is made first and has left, or None if none are
    found.

    One worker, a fixed seed and deterministic time: the same answer every time.

    Parameters
    ----------
    hop, beside
        Cycles from a row to those that read it as operands, and beside results.
    seconds
        Deterministic time of the solver, in its own unit.
    """
    model = cp_model.CpModel()
    horizon = sum(max(o.total + sum(o.times) for o in s.options) for s in stages)
    horizon += sum(max(s.arrive) + max(s.leave, default=0) + hop * s.rows for s in stages)
    used: list[cp_model.LinearExprT] = []
    ends: list[list[cp_model.IntVar]] = []
    picks: list[list[cp_model.IntVar]] = []
    total = cp_model.LinearExpr.weighted_sum
    for n, stage in enumerate(stages):
        picked = [model.new_bool_var(f"s{n}_{i}") for i in range(len(stage.options))]
        model.add_exactly_one(picked)
        picks.append(picked)
        used.append(total(picked, [o.multipliers for o in stage.options]))
        own = [model.new_int_var(0, horizon, f"e{n}_{r}") for r in range(stage.rows)]
        ends.append(own)
        for r, end in enumerate(own):
            if r:
                model.add(end >= own[r - 1] + total(picked, [o.times[r] for o in stage.options]))
            late = total(picked, [o.times[r] - o.early[r] for o in stage.options])
            model.add(end >= stage.arrive[r] + late)
            for link in stage.links:
                need = link.needs[r]
                if need > 0 and link.beside:
                    passes = total(picked, [o.passes for o in stage.options])
                    model.add(end >= ends[link.maker][need - 1] + beside + passes)
                elif need > 0:
                    model.add(end >= ends[link.maker][need - 1] + hop + late)
        late = total(picked, [o.total - o.begun for o in stage.options])
        model.add(own[-1] >= stage.arrive[0] + late)
        for link in stage.links:
            if link.needs[0] > 0 and not link.beside:
                model.add(own[-1] >= ends[link.maker][link.needs[0] - 1] + hop + late)
    model.add(sum(used) <= budget)
    last = model.new_int_var(0, horizon, "last")
    for stage, own in zip(stages, ends, strict=True):
        model.add(last >= own[-1])
        for end, left in zip(own, stage.leave, strict=False):
            model.add(last >= end + left)
    model.minimize(last)
    solver = solved(model, seconds)
    if solver is None:
        return None
    chosen = tuple(next(i for i, v in enumerate(own) if solver.value(v)) for own in picks)
    return Balance(chosen, round(solver.objective_value), round(solver.best_objective_bound))
