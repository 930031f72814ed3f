"""Prefetch: streamed weights and biases, in the order of their use, as early as possible."""

from dataclasses import dataclass

from rtl.config import CONSTANTS
from rtl.fetch import BIASES, WEIGHTS

from . import schedule as regions
from .constants import Constants
from .errors import UserError
from .operation import Geometry, Operation
from .schedule import FetchPlan
from .traffic import MEMORY_LATENCY
from .transfers import Transfers

__all__ = ["Placing", "Prefetch"]


@dataclass(frozen=True)
class Placing:
    """Where a phase's weights lie: the first word, the passes until it is used again, the beats
    needed for the first pass and for each next one, and those after which the biases are there."""

    first: int
    around: int
    need: int = 0
    pass_need: int = 0
    bias: int = 0


class Prefetch:
    """Plans the transfers of a core's weights and biases, and where they lie.

    The weight memory of ``words`` words holds the resident ones first; the core's stream begins at
    byte ``stream`` of the region of weights.
    """

    def __init__(
        self,
        core: int,
        cores: int,
        geometry: Geometry,
        constants: Constants,
        words: int,
        stream: int,
        transfers: Transfers,
    ):
        self.core, self.cores, self.geometry = core, cores, geometry
        self.constants, self.stream, self.transfers = constants, stream, transfers
        self.ring = _Ring(constants.resident_words, words)
        # By their first word, the beats after which biases are there.
        self.biases: dict[int, int] = {}

    def place(self, op: Operation, at: int, passed: int, *, streamed: bool) -> Placing:
        """Of the core's operation number ``at``, after which it has done ``passed`` passes over
        tiles."""
        c, g = self.constants, self.geometry
        if op.weights is None or op.product is not None or not streamed:
            return Placing(c.weight[at], op.passes(g))
        fetched = self.transfers.fetched
        if c.bias[at] not in self.biases:
            beats = -(-len(op.bias) // g.lanes) * c.bias_beats
            self._fetch(op, self.stream + c.bias_offset[at], beats, BIASES, c.bias[at], 0)
            self.biases[c.bias[at]] = fetched[CONSTANTS]
        bias = self.biases[c.bias[at]]
        passes, words, tiles = op.passes(g), op.words(g), op.tiles(g)
        per_pass = words * c.weight_beats
        single = tiles == 1 or op.stationary
        before = passed - passes * tiles
        # While one pass comes, the others last as long as it takes.
        enough = 1 + -(-(MEMORY_LATENCY + per_pass) // (words * max(c.weight_beats, tiles)))
        around = self.ring.passes(passes, words, enough) if single else passes
        first = self.ring.reserve(around * words)
        need = fetched[CONSTANTS] + (per_pass if single else passes * per_pass)
        base = self.stream + c.weight_offset[at] if op.factor is None else self._factor(op)
        # One transfer for all passes where they fit, as beside other cores they mostly do.
        alone = not single or (self.cores > 1 and around == passes)
        for n in range(1 if alone else passes):
            size = passes * words if alone else words
            last = passed if alone else before + (n + 1) * tiles
            address, over = self.ring.block(first, n % around, size, last)
            offset = base + n * per_pass * c.axi_bytes
            self._fetch(op, offset, size * c.weight_beats, WEIGHTS, address, over)
        return Placing(first, around, need, per_pass if single else 0, bias)

    def _factor(self, op: Operation) -> int:
        """Where the weights of an operation lie that others have written."""
        g, c = self.geometry, self.constants
        assert op.factor is not None
        word = g.cols * g.depth * g.element_bytes
        if word % c.axi_bytes:
            raise UserError(
                f"task '{op.tasks[0]}' needs weight words of whole beats of {c.axi_bytes} "
                f"bytes, not of {word}"
            )
        return self.transfers.place(op.factor)[1]

    def _fetch(
        self, op: Operation, offset: int, beats: int, target: int, address: int, passed: int
    ) -> None:
        none = (0,) * self.cores
        factor = op.factor if target == WEIGHTS else None
        self.transfers.fetches[CONSTANTS].append(
            FetchPlan(
                name=op.name,
                region=regions.WEIGHTS if factor is None else regions.SPILLS,
                offset=offset,
                beats=beats,
                target=target,
                buffer=0,
                address=address,
                gathered=none,
                passed=tuple(passed if core == self.core else 0 for core in range(self.cores)),
                stored=none,
                sent=0 if factor is None else self.transfers.left(factor),
                core=self.core,
            )
        )
        self.transfers.fetched[CONSTANTS] += beats


class _Ring:
    """Weight memory behind the resident words, handed out block by block, oldest first."""

    def __init__(self, first: int, words: int):
        self.first, self.words = first, words
        self.at = first
        self.top = first
        self.blocks: list[tuple[int, int, int]] = []

    def passes(self, count: int, words: int, enough: int) -> int:
        """How many of ``count`` passes of ``words`` the ring should hold: half of it is left to
        the next operation, unless ``enough`` of them, with which nobody waits, would not fit."""
        free = self.words - self.first
        return min(count, max(free // 2 // words, min(enough, free // words), 1))

    def reserve(self, size: int) -> int:
        if self.first + size > self.words:
            raise UserError(
                f"weight memory of {self.words - self.first} words cannot hold {size} at once"
            )
        if self.at + size > self.words:
            self.at = self.first
        start = self.at
        self.at += size
        self.top = max(self.top, self.at)
        return start

    def block(self, first: int, n: int, size: int, last_pass: int) -> tuple[int, int]:
        """Address of block ``n``, and how many passes must be over before it may be written."""
        address = first + n * size
        passed = max(
            (p for a, s, p in self.blocks if a < address + size and address < a + s), default=0
        )
        self.blocks = [
            (a, s, p) for a, s, p in self.blocks if not (address <= a and a + s <= address + size)
        ]
        self.blocks.append((address, size, last_pass))
        return address, passed
