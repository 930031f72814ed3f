"""Choice: which tasks of a graph are unrolled, and the products that they become."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from gen.errors import UserError
from gen.graph import Conv, Graph, MatMul
from gen.lower import lower
from gen.operation import Geometry, Operation
from gen.placement import Placement, groups_of
from gen.target import Target

from .balanced import balanced
from .intervals import intervals
from .product import Product, pipelined
from .search import search

__all__ = ["Unrolled", "choose", "placement"]

DEPTH = 31
"""Elements of a window's word at most; the gather unit reads one more a cycle."""

MOST_LANES = 16

LUTS_PER_MULTIPLIER = 150
"""Of an array's product of 8 by 8 bits and its part of the sum: Yosys 0.70 makes 1,252 look-up
tables for UltraScale+ of a sum of eight products with its accumulator."""

LUTS_PER_LANE, LUTS_PER_BYTE, LUTS_PER_CORE = 310, 82, 800
"""Of an unrolled core beside its product: its lanes with bias, requantisation and queue; the
packer, by the bytes of a window's word; the rest. Yosys 0.70 for UltraScale+ makes 4,892 tables of
16 lanes and 1,290 of 4, 2,554 of a packer of 31 bytes, 183 of gather unit and steps and 662 of a
window of 64 bytes with 12 sums; what a buffer's ports grow by is left out."""

LUTS_PER_DIGIT = 1.5
"""What the search has always needed more of, by which what cannot fit is told beforehand."""

SPARSITIES = (*range(50, 96, 5), 97, 99)
"""Percent of zero weights that may be advised."""

ROUNDS = 4000
"""Of the search, once it is known what is unrolled."""


@dataclass(frozen=True)
class Unrolled:
    """A task whose weights are the circuit, its core's geometry, and its product."""

    task: str
    geometry: Geometry
    product: Product


@dataclass(frozen=True)
class _Candidate:
    task: str
    geometry: Geometry
    matrix: np.ndarray
    inputs: list[tuple[int, int]]
    cycles: int

    @property
    def worth(self) -> int:
        """Look-up tables of an array that would take windows as often."""
        return LUTS_PER_MULTIPLIER * -(-self.matrix.size // self.cycles)

    @property
    def beside(self) -> int:
        """Look-up tables of the core beside its product."""
        g = self.geometry
        return LUTS_PER_LANE * g.lanes + LUTS_PER_BYTE * g.depth + LUTS_PER_CORE

    def least(self) -> int:
        """A bound, more or less, on the look-up tables."""
        return int(LUTS_PER_DIGIT * max(0, _digits(self.matrix) - self.matrix.shape[1]))

    @cached_property
    def luts(self) -> int:
        """Look-up tables of the product, searched but little."""
        return balanced(search(self.matrix, self.inputs)).area

    def made(self) -> Product:
        return pipelined(search(self.matrix, self.inputs, rounds=ROUNDS))


def _digits(matrix: np.ndarray) -> int:
    """Canonical signed digits of all weights that are not zero."""
    w = np.abs(matrix.astype(np.int64))
    return int(np.bitwise_count(w ^ (3 * w)).sum())


def _geometry(op: Operation, depth: int, lanes: int) -> Geometry:
    cols = -(-op.outputs // lanes) * lanes
    return Geometry(1, cols, depth, lanes, unrolled=True)


def _candidate(graph: Graph, task: Conv | MatMul) -> _Candidate | None:
    """``task`` as a core of its own, with as many lanes as keep up with the gather unit; None if it
    is not one product with one matrix."""
    outputs, size = len(task.weights), task.weights[0].size
    geometry = Geometry(1, outputs, min(size, DEPTH), 1, unrolled=True)
    found = _operation(graph, task.name, geometry)
    if found is None:
        return None
    window = found.window
    beats = window.lines * window.taps * -(-window.run // (geometry.depth + 1))
    wanted = min(MOST_LANES, -(-outputs // max(beats, found.words(geometry))))
    geometry = _geometry(found, geometry.depth, 1 << (wanted - 1).bit_length())
    op = _operation(graph, task.name, geometry)
    if op is None or op.weights is None:
        return None
    window = op.window
    beats = window.lines * window.taps * -(-window.run // (geometry.depth + 1))
    low, high = intervals(graph)[task.inputs[0]]
    interval = min(low, window.pad), max(high, window.pad)
    cycles = max(beats, op.words(geometry), geometry.groups)
    return _Candidate(task.name, geometry, op.weights.T, [interval] * size, cycles)


def _operation(graph: Graph, task: str, geometry: Geometry) -> Operation | None:
    """What ``task`` alone becomes."""
    lowered = lower(graph, geometry, dense=True)
    own = [op for op in lowered.operations if task in op.tasks]
    together = next((group for group in groups_of(lowered) if task in group), ())
    if len(own) != 1 or len(together) != 1 or own[0].weights is None or own[0].factor is not None:
        return None
    return own[0] if own[0].tasks[0] == task else None


def _candidates(graph: Graph) -> dict[str, _Candidate]:
    if graph.element_bytes != 1:
        return {}
    products = (task for task in graph.tasks if isinstance(task, Conv | MatMul))
    found = (_candidate(graph, task) for task in products)
    return {one.task: one for one in found if one is not None}


def choose(
    graph: Graph,
    target: Target,
    wish: str,
    progress: Callable[[str], None] = lambda words: None,
) -> tuple[Unrolled, ...]:
    """The tasks of ``graph`` that are unrolled.

    Parameters
    ----------
    wish
        ``"none"``; ``"auto"``: what takes fewer look-up tables, with all that its core has beside
        the product, than an array as fast would, as long as the target's suffice; ``"all"``: every
        product with one matrix; or names of tasks, separated by commas.

    Raises
    ------
    UserError
        If a task does not exist or cannot be unrolled, the machine is to be loaded at run time, or
        all together exceed the target's look-up tables, saying what would fit.
    """
    if wish == "none":
        return ()
    if target.memory != "rom":
        raise UserError("--unroll needs --memory rom: unrolled weights cannot be loaded")
    candidates = _candidates(graph)
    if wish == "auto":
        chosen = _worthwhile(candidates, target.luts, progress)
    else:
        names = list(candidates) if wish == "all" else [name.strip() for name in wish.split(",")]
        for name in names:
            _check_name(graph, candidates, name)
        if not names:
            raise UserError(f"--unroll all finds no task of '{graph.name}' that could be unrolled")
        chosen = {name: candidates[name] for name in names}
        _check_budget(chosen, target.luts, progress)
    result = []
    for one in chosen.values():
        progress(f"unrolling {one.task}")
        result.append(Unrolled(one.task, one.geometry, one.made()))
    return tuple(result)


def _worthwhile(
    candidates: Mapping[str, _Candidate], luts: int, progress: Callable[[str], None]
) -> dict[str, _Candidate]:
    """Those that are smaller than an array as fast, the smallest first, as many as fit."""
    sizes = {}
    for one in candidates.values():
        if one.beside + one.least() <= min(luts, one.worth):
            progress(f"weighing {one.task} unrolled")
            area = one.beside + one.luts
            if area <= one.worth:
                sizes[one.task] = area
    left, kept = luts, set[str]()
    for name in sorted(sizes, key=sizes.__getitem__):
        if sizes[name] <= left:
            left -= sizes[name]
            kept.add(name)
    return {name: one for name, one in candidates.items() if name in kept}


def _check_name(graph: Graph, candidates: Mapping[str, _Candidate], name: str) -> None:
    if name in candidates:
        return
    if name not in {task.name for task in graph.tasks}:
        known = ", ".join(candidates) or "none that could be unrolled"
        raise UserError(f"--unroll names no task '{name}'; there are {known}")
    raise UserError(
        f"task '{name}' cannot be unrolled: only int8 products with one constant matrix can, "
        "without groups, that no other task has taken over"
    )


def _check_budget(
    chosen: Mapping[str, _Candidate], luts: int, progress: Callable[[str], None]
) -> None:
    """Refuses what exceeds ``luts``, with what would fit for the largest task."""
    sizes = {}
    for one in chosen.values():
        progress(f"weighing {one.task} unrolled")
        least = one.least()
        sizes[one.task] = least if least > luts else one.luts
    total = sum(sizes.values())
    if total <= luts:
        return
    largest = chosen[max(sizes, key=sizes.__getitem__)]
    left = luts - (total - sizes[largest.task])
    about = "at least " if sizes[largest.task] > luts else ""
    over = (
        f"task '{largest.task}' unrolled takes {about}{sizes[largest.task]:,} LUTs, "
        f"{total - luts:,} more than --luts {luts} leaves it"
    )
    if left > 0:
        progress(f"looking for what would fit of {largest.task}")
        ways = _ways((largest,), left)
        advice = f"it would fit {' or '.join(ways)}" if ways else "leave it to an array"
    else:
        progress("looking for what would fit of all tasks")
        ways = _ways(tuple(chosen.values()), luts)
        together = f", or all would fit {' or '.join(ways)}" if ways else ""
        advice = f"name fewer tasks{together}"
    raise UserError(f"{over}; {advice}")


def _ways(tasks: Sequence[_Candidate], luts: int) -> list[str]:
    """The least sparsity and the greatest width of the weights with which ``tasks`` fit into
    ``luts``."""

    def fits(changed: Callable[[np.ndarray], np.ndarray]) -> bool:
        others = [replace(one, matrix=changed(one.matrix.astype(np.int64))) for one in tasks]
        if sum(one.least() for one in others) > luts:
            return False
        left = luts
        for one in others:
            left -= one.luts
            if left < 0:
                return False
        return True

    def pruned(w: np.ndarray, percent: int) -> np.ndarray:
        limit = np.sort(np.abs(w), axis=None)[round(w.size * percent / 100) - 1]
        return np.where(np.abs(w) <= limit, 0, w)

    found = []
    zeros = sum(np.count_nonzero(one.matrix == 0) for one in tasks)
    share = zeros / sum(one.matrix.size for one in tasks)
    sparser = [percent for percent in SPARSITIES if percent / 100 > share]
    place = bisect_left(sparser, True, key=lambda n: fits(partial(pruned, percent=n)))
    if place < len(sparser):
        found.append(
            f"with {sparser[place]} % of {'its' if len(tasks) == 1 else 'all'} weights zero"
        )
    bits = max(int(np.abs(one.matrix).max()).bit_length() for one in tasks) + 1
    narrower = range(bits - 1, 1, -1)

    def rounded(w: np.ndarray, width: int) -> np.ndarray:
        return np.round(w / (1 << (bits - width))).astype(np.int64)

    place = bisect_left(narrower, True, key=lambda n: fits(partial(rounded, width=n)))
    if place < len(narrower):
        found.append(f"with weights of {narrower[place]} bits")
    return found


def placement(graph: Graph, given: Placement, unrolled: tuple[Unrolled, ...]) -> Placement:
    """``given`` with a core more for each of ``unrolled``, and without cores that lose all work."""
    if not unrolled:
        return given
    names = {one.task for one in unrolled}
    lowered = lower(graph, unrolled[0].geometry, dense=True)
    left = [task for group in groups_of(lowered) for task in group if task not in names]
    kept = sorted({given.core[task] for task in left})
    geometries = (*(given.geometries[c] for c in kept), *(one.geometry for one in unrolled))
    core = {task: kept.index(given.core[task]) for task in left}
    core |= {one.task: len(kept) + i for i, one in enumerate(unrolled)}
    return Placement(geometries, core, {one.task: one.product for one in unrolled}, dense=True)
