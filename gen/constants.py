"""Constants: weights, biases, scales and tables as the words of their memories."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

from rtl.interpolate import segments

from .operation import Geometry, Operation, same
from .unrolled.product import Product

__all__ = ["Constants", "constants", "weight_bits_of", "weight_words_of"]


@dataclass(frozen=True, eq=False)
class Constants:
    """Memory images as lists of words, and each operation's first word in every memory.

    ``weights`` are the resident words. Streamed weights and biases are in ``stream``, the
    ``stream_bytes`` bytes of the weight region; ``weight_offset`` and ``bias_offset`` say where an
    operation's begin. ``weight_beats`` and ``bias_beats`` are the beats of one word in the stream.
    Weights are only brought into these forms when they are asked for. Where the weights are the
    circuit, there are none, but a ``product``.
    """

    biases: list[int]
    scales: list[int]
    tables: list[int]
    exponent_words: list[int]
    weight: list[int]
    bias: list[int]
    scale: list[int]
    scale_steps: list[bool]
    table: list[int]
    exponents: list[int]
    resident: tuple[np.ndarray, ...] = field(repr=False)
    streamed: tuple[tuple[Operation, int, int], ...] = field(repr=False)
    geometry: Geometry
    stream_bytes: int
    weight_offset: list[int]
    bias_offset: list[int]
    weight_beats: int
    bias_beats: int
    weight_bits: int
    axi_bytes: int
    product: Product | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constants):
            return NotImplemented
        return all(same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @property
    def resident_words(self) -> int:
        return sum(map(len, self.resident))

    @property
    def bias_words(self) -> int:
        return max(1, len(self.biases))

    @property
    def scale_words(self) -> int:
        return max(1, len(self.scales))

    @cached_property
    def weights(self) -> list[int]:
        return [word for words in self.resident for word in _packed(words, self.weight_bits)]

    @cached_property
    def stream(self) -> np.ndarray:
        """uint8, of ``stream_bytes``."""
        image = np.zeros(self.stream_bytes, np.uint8)
        for op, bias, weight in self.streamed:
            size = self.bias_beats * self.axi_bytes
            words = _bias_words(op, self.geometry.lanes)
            _lay(image, bias, b"".join(word.to_bytes(size, "little") for word in words))
            if op.factor is not None:
                continue
            words = _weight_words(op, self.geometry)
            _lay(
                image,
                weight,
                _in_beats(words, self.weight_bits, self.weight_beats * self.axi_bytes),
            )
        return image


def _lay(image: np.ndarray, offset: int, data: bytes | np.ndarray) -> None:
    """Puts bytes at an offset of ``image``."""
    image[offset : offset + len(data)] = np.frombuffer(data, np.uint8)


def _packed(weights: np.ndarray, bits: int) -> list[int]:
    """Words of (words, elements) integers, element 0 lowest, ``bits`` each, two's complement."""
    if bits in (8, 16):
        return [int.from_bytes(row.tobytes(), "little") for row in weights.astype(f"<i{bits // 8}")]
    planes = (weights[..., None].astype(np.int64) >> np.arange(bits)) & 1
    flat = planes.reshape(len(weights), -1).astype(np.uint8)
    rows = np.packbits(flat, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def _in_beats(weights: np.ndarray, bits: int, word_bytes: int) -> bytes | np.ndarray:
    """The same words as bytes, each padded to ``word_bytes``."""
    if bits not in (8, 16):
        return b"".join(w.to_bytes(word_bytes, "little") for w in _packed(weights, bits))
    raw = weights.astype(f"<i{bits // 8}", order="C").view(np.uint8)
    if raw.shape[1] < word_bytes:
        raw = np.pad(raw, ((0, 0), (0, word_bytes - raw.shape[1])))
    return raw.reshape(-1)


def _weight_words(op: Operation, geometry: Geometry) -> np.ndarray:
    """Weight words (words, cols * depth) in the order of use: passes, then words of a tile."""
    g = geometry
    if op.weights is None:
        words = np.zeros((1, g.cols, g.depth), dtype=np.int16)
        for i in range(min(g.cols, g.depth)):
            words[0, i, i] = op.unit
        return words.reshape(1, -1)
    if op.window.segments is not None:
        return op.weights.reshape(len(op.weights), -1)
    passes, size = op.passes(g), op.words(g)
    full = np.zeros((passes * g.cols, size * g.depth), dtype=np.int16)
    full[: op.outputs, : op.weights.shape[1]] = op.weights
    words = full.reshape(passes, g.cols, size, g.depth).transpose(0, 2, 1, 3)
    return words.reshape(passes * size, -1)


def _grouped(values: np.ndarray, lanes: int) -> np.ndarray:
    """(words, lanes): one value for all lanes, or consecutive values, the last word padded."""
    if len(values) == 1:
        return np.repeat(values[None, :], lanes, axis=1)
    padded = np.zeros(-(-len(values) // lanes) * lanes, dtype=np.int64)
    padded[: len(values)] = values
    return padded.reshape(-1, lanes)


def _bias_words(op: Operation, lanes: int) -> list[int]:
    groups = _grouped(op.bias, lanes) & 0xFFFF_FFFF
    return [sum(int(v) << (32 * i) for i, v in enumerate(word)) for word in groups]


def _uniform(op: Operation) -> bool:
    """Whether one scale serves all outputs."""
    pairs = {*zip(op.multiplier.tolist(), op.shift.tolist(), strict=True)}
    return len(pairs) == 1


def _scale_words(op: Operation, lanes: int) -> list[int]:
    multiplier, shift = np.asarray(op.multiplier), np.asarray(op.shift)
    if _uniform(op):
        multiplier, shift = multiplier[:1], shift[:1]
    units = multiplier.astype(np.int64) | ((shift.astype(np.int64) & 63) << 31)
    return [sum(int(v) << (37 * i) for i, v in enumerate(word)) for word in _grouped(units, lanes)]


def _table_words(table: np.ndarray | None, geometry: Geometry) -> list[int]:
    if table is None:
        return []
    return (
        segments(table.tolist()) if geometry.element_bytes == 2 else [int(v) & 255 for v in table]
    )


class _Pool:
    """Words of a memory; equal runs of words are held once."""

    def __init__(self):
        self.words: list[int] = []
        self.known: dict[tuple[int, ...], int] = {}

    def place(self, words: Sequence[int]) -> int:
        key = tuple(words)
        if key not in self.known:
            self.known[key] = len(self.words)
            self.words += key
        return self.known[key]


class _Arrays:
    """Weight words (words, elements) one behind the other; equal ones are held once."""

    def __init__(self):
        self.arrays: list[np.ndarray] = []
        self.size = 0
        self.known: dict[bytes, int] = {}

    def place(self, words: np.ndarray) -> int:
        key = words.tobytes()
        if key not in self.known:
            self.known[key] = self.size
            self.arrays.append(words)
            self.size += len(words)
        return self.known[key]


def weight_words_of(op: Operation, geometry: Geometry) -> int:
    """How many weight words an operation has."""
    if op.product is not None:
        return 0
    if op.weights is None:
        return 1
    if op.window.segments is not None:
        return len(op.weights)
    return op.passes(geometry) * op.words(geometry)


def weight_bits_of(operations: Sequence[Operation]) -> int:
    """8, or 9 where a weight's zero point leads out of int8, or 16."""
    heavy = [op.weights for op in operations if op.weights is not None and op.product is None]
    most = max((max(int(w.max()), ~int(w.min())) for w in heavy), default=0)
    return 8 if most < 128 else 9 if most < 256 else 16


def constants(
    operations: Sequence[Operation],
    geometry: Geometry,
    axi_bytes: int,
    *,
    streamed: bool,
    weight_bits: int,
) -> Constants:
    """Images of all constant memories; with ``streamed``, weights and biases of products go to the
    stream instead, while the weights of copies and pools stay resident."""
    bits = weight_bits
    weights = _Arrays()
    biases, scales, tables, exponents = (_Pool() for _ in range(4))
    places: dict[str, list[int]] = {n: [] for n in ("w", "b", "s", "t", "e", "wo", "bo")}
    weight_beats = -(-bits * geometry.cols * geometry.depth // (8 * axi_bytes))
    bias_beats = -(-32 * geometry.lanes // (8 * axi_bytes))
    flowing, stream, steps = [], 0, []
    # Of streamed biases and weights, which bands of an operation share, where they lie.
    shared: dict[tuple[int, ...], tuple[int, int]] = {}
    offsets: dict[tuple, int] = {}
    looked_up: dict[int, int] = {}
    for op in operations:
        flows = streamed and op.weights is not None and op.product is None
        bias = _bias_words(op, geometry.lanes)
        if flows:
            new = tuple(bias) not in shared
            place, offset = shared.setdefault(tuple(bias), (len(biases.words), stream))
            if new:
                biases.words += [0] * len(bias)
                stream += len(bias) * bias_beats * axi_bytes
        else:
            place, offset = biases.place(bias), stream
        places["b"].append(place)
        places["bo"].append(offset)
        if flows and op.weights is not None:
            words = weight_words_of(op, geometry)
            same_weights = (op.tasks, op.factor, op.weights.ctypes.data, words)
            new = same_weights not in offsets
            places["w"].append(0)
            places["wo"].append(offsets.setdefault(same_weights, stream))
            flowing.append((op, offset, places["wo"][-1]))
            if new and op.factor is None:
                stream += words * weight_beats * axi_bytes
        else:
            place = 0 if op.product is not None else weights.place(_weight_words(op, geometry))
            places["w"].append(place)
            places["wo"].append(stream)
        scale = _scale_words(op, geometry.lanes) if geometry.element_bytes == 1 else []
        places["s"].append(scales.place(scale))
        steps.append(not _uniform(op))
        if id(op.table) not in looked_up:
            table = _table_words(op.table, geometry)
            looked_up[id(op.table)] = tables.place(table) // 256 if table else 0
        places["t"].append(looked_up[id(op.table)])
        exponent = [] if op.softmax is None else [int(v) for v in op.softmax[1]]
        places["e"].append(exponents.place(exponent) // 256 if exponent else 0)
    return Constants(
        biases=biases.words,
        scales=scales.words,
        tables=tables.words,
        exponent_words=exponents.words,
        weight=places["w"],
        bias=places["b"],
        scale=places["s"],
        scale_steps=steps,
        table=places["t"],
        exponents=places["e"],
        resident=tuple(weights.arrays),
        streamed=tuple(flowing),
        geometry=geometry,
        stream_bytes=stream,
        weight_offset=places["wo"],
        bias_offset=places["bo"],
        weight_beats=weight_beats,
        bias_beats=bias_beats,
        weight_bits=bits,
        axi_bytes=axi_bytes,
        product=next((op.product for op in operations if op.product is not None), None),
    )
