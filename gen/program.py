"""Programs: a schedule as the words of each unit, and the images of the constant memories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtl.config import Config, fetchers, numbered, units

from .allocate import Lifetime
from .constants import Constants, constants
from .operation import Geometry, Operation, Sink
from .order import groups_per_pixel
from .schedule import FetchPlan, Phase, Schedule

__all__ = ["Program", "Word", "config_for", "program"]

Word = dict[str, int]
"""A schedule word: a value per field."""


@dataclass(frozen=True)
class Program:
    """Per unit its words, a value per field; and what each core's constant memories hold.

    Of a gather word, ``address`` and ``need`` may be negative, where the first tap lies outside the
    tensor, and the address of an epilogue's that pools; what a machine stores of them is modulo its
    address and token widths.
    """

    words: Mapping[str, tuple[Word, ...]]
    constants: tuple[Constants, ...]

    @property
    def stream_bytes(self) -> int:
        """Of the weight region off chip."""
        return sum(c.stream_bytes for c in self.constants)

    @property
    def stream(self) -> np.ndarray:
        """The weight region off chip: uint8, of ``stream_bytes``."""
        return np.concatenate([c.stream for c in self.constants])

    def words_of(self, unit: str) -> tuple[Word, ...]:
        """The words of a unit that each core has, core after core."""
        cores = range(len(self.constants))
        return tuple(word for core in cores for word in self.words[numbered(unit, core)])


def _gather(phase: Phase, schedule: Schedule) -> Word:
    w, tokens = phase.operation.window, phase.gather
    life = schedule.lifetimes[phase.source]
    size = schedule.buffer_bytes[life.buffer]
    unit = schedule.element_bytes
    segments = w.segments
    doubled = w.doubled
    first = tokens.need + tokens.step * (w.line >> doubled)
    lines, rows = (w.line_stride if w.lines > 1 else 0), (w.row_stride if w.rows > 1 else 0)
    # Of a doubled image, the next row is as far as two; a single one only every other time.
    down = rows if rows % 2 else rows >> doubled
    return {
        "buffer": life.buffer,
        **_ring(life, unit * (w.offset - w.position), unit * w.position),
        "tap_step": unit * w.tap_step,
        "line_step": unit * lines * w.pitch,
        "pixel_step": unit * w.pixel_step if w.pixels > 1 else 0,
        "row_step": unit * down * w.pitch,
        "run": unit * w.run,
        "taps": w.taps - 1,
        "lines": w.lines - 1,
        "pixels": w.pixels - 1,
        "rows": w.rows - 1,
        "position": unit * w.position,
        "width": min(unit * w.width, 2 * size),
        "line": w.line,
        "line_stride": lines,
        "row_stride": rows,
        "height": w.height,
        "pad": w.pad,
        "words": w.patch_words(schedule.geometry(phase).depth) - 1,
        "align": int(w.align),
        "repeats": w.repeats - 1,
        "repeat_step": unit * w.repeat_step if w.repeats > 1 else 0,
        "segments": int(segments is not None),
        "warm": segments.warm if segments else 0,
        "every": segments.every - 1 if segments else 0,
        "skip": int(segments is not None and segments.skip),
        "doubled": doubled,
        "line_weight": len(segments.patterns) if segments and segments.sums else 0,
        "start": tokens.start,
        "producer": len(schedule.cores) if tokens.producer is None else tokens.producer,
        "need": first,
        "line_need": tokens.step * lines,
        "row_need": tokens.step * down,
        "limit": tokens.limit,
    }


def _ring(life: Lifetime, offset: int, further: int = 0, of: str = "") -> Word:
    """The address ``further`` behind byte ``offset`` of a storage, and where its ring ends."""
    size, wrap = life.wrap(offset)
    return {
        f"{of}address": life.place(offset) + further,
        f"{of}ring": size,
        f"{of}wrap": wrap,
    }


TOKEN_BITS = 24


def _burst(op: Operation, g: Geometry) -> tuple[int, int]:
    """Rows of the last tile and groups of the last pass."""
    if op.window.segments is not None:
        return 1, 1
    rows = (op.window.pixel_count - 1) % g.rows + 1
    return rows, groups_per_pixel(op, g) - (op.passes(g) - 1) * g.groups


def _core(phase: Phase, schedule: Schedule) -> Word:
    op, g, segments = phase.operation, schedule.geometry(phase), phase.operation.window.segments
    rows_last, groups_last = _burst(op, g)
    patterns = segments.patterns if segments else ()
    return {
        "words": op.words(g) - 1,
        "passes": op.passes(g) - 1,
        "tiles": op.tiles(g) - 1,
        "weight": phase.weight,
        "weight_step": int(op.weights is not None),
        "around": phase.around - 1,
        "stationary": int(op.stationary or segments is not None),
        "segments": int(segments is not None),
        "pattern": schedule.pattern(phase),
        "patterns": max(0, len(patterns) - 1),
        "maximum": int(op.maximum),
        "need": phase.need,
        "pass_need": phase.pass_need,
        "burst": g.rows * g.groups,
        "burst_last_pass": g.rows * groups_last,
        "burst_last_tile": rows_last * g.groups,
        "burst_last": rows_last * groups_last,
        "groups_last": groups_last - 1,
    }


def _epilogue(phase: Phase, schedule: Schedule, c: Constants, i: int) -> Word:
    """The word of a core's phase ``i``."""
    op, g = phase.operation, schedule.geometry(phase)
    sink = schedule.lifetimes[phase.sink]
    unit, segments = g.element_bytes, op.window.segments
    rows_last, groups_last = _burst(op, g)
    group_step, pass_step = op.sink.steps(g)
    word = {
        "passes": op.passes(g) - 1,
        "tiles": op.tiles(g) - 1,
        "rows_last": rows_last - 1,
        "groups_last": groups_last - 1,
        "tail": segments.tail - 1 if segments else (op.outputs - 1) % g.cols % g.lanes,
        "edge": segments.edge if segments else 0,
        "stationary": int(op.stationary or segments is not None),
        "channel_step": unit * group_step,
        "pass_step": unit * pass_step,
        "lines": op.tiles(g) // op.sink.pixels - 1 if segments else 0,
        "bias": phase.bias,
        "bias_step": int(len(op.bias) > 1),
        "low": op.clamp[0],
        "high": op.clamp[1],
        "table_on": int(op.table is not None),
        "table": phase.table,
        "softmax": int(op.softmax is not None),
        "row_groups": 0,
        "buffer": sink.buffer,
        **_pixels(op.sink, sink, op.tiles(g) if segments else op.window.pixel_count, unit),
        "pixels": op.sink.pixels - 1,
        "sent": phase.epilogue.sent,
    }
    word |= _numbered("fetched", phase.epilogue.fetched)
    word |= _numbered("stored", phase.epilogue.stored)
    if len(schedule.cores) > 1:
        word |= _numbered("gathered", phase.epilogue.gathered)
    if op.softmax is not None:
        word["row_groups"] = op.softmax[0] * groups_per_pixel(op, g) - 1
    values = _values8(phase, schedule, c.scale_steps[i]) if unit == 1 else _values16(op)
    return word | _residual(phase, schedule) | values


def _pixels(place: Sink, life: Lifetime, count: int, unit: int, of: str = "") -> Word:
    """Where pixels lie, and how to get from one to the next, in bytes."""
    word = _ring(life, unit * place.offset, of=of)
    pixel, row = unit * place.pixel, unit * place.row
    down = (place.pixels - 1) * pixel
    if word[f"{of}ring"] and count > place.pixels and row < 0 and down >= word[f"{of}wrap"]:
        # From the foot of a strip that goes round the ring, back to the top of the next.
        row += word[f"{of}ring"]
    return word | {f"{of}pixel": pixel, f"{of}row": row}


def _residual(phase: Phase, schedule: Schedule) -> Word:
    """The second operand: where it lies, and the range of the result."""
    residual = phase.operation.residual
    if residual is None or phase.residual is None:
        names = ("buffer", "address", "pixel", "row", "ring", "wrap")
        return {"add": 0, "low_out": 0, "high_out": 0} | {f"residual_{n}": 0 for n in names}
    life, unit = schedule.lifetimes[phase.residual], schedule.element_bytes
    return {
        "add": int(not residual.multiply),
        "residual_buffer": life.buffer,
        **_pixels(residual.place, life, phase.operation.window.pixel_count, unit, "residual_"),
        "low_out": residual.clamp[0],
        "high_out": residual.clamp[1],
    }


def _values8(phase: Phase, schedule: Schedule, scale_step: bool) -> Word:
    """How int8 are requantised and added."""
    op, r = phase.operation, phase.operation.residual
    others = schedule.phases_of(phase.core)
    even = any(p.operation.even for p in others) if op.even is None else op.even
    return {
        "scale": phase.scale,
        "scale_step": int(scale_step),
        "zero": op.zero,
        "even": int(even),
        "exponents": phase.exponents,
        "zero_a": r.zero_a if r else 0,
        "multiplier_a": r.rescale_a[0] if r else 0,
        "shift_a": -r.rescale_a[1] if r else 0,
        "zero_b": r.zero_b if r else 0,
        "multiplier_b": r.rescale_b[0] if r else 0,
        "shift_b": -r.rescale_b[1] if r else 0,
        "multiplier_out": r.rescale_out[0] if r else 0,
        "shift_out": -r.rescale_out[1] if r else 0,
        "zero_out": r.zero_out if r else 0,
    }


def _values16(op: Operation) -> Word:
    """How int16 are requantised and multiplied; a shift in the graph is 1 less the bits dropped."""
    multiplies = op.residual is not None and op.residual.multiply
    return {
        "shift": 1 - int(op.shift[0]),
        "multiply": int(multiplies),
        "shift_out": 1 - op.residual.rescale_out[1] if op.residual and multiplies else 0,
        "pool": int(op.pool),
        "pool_row": op.pool_row - 1 if op.pool else 0,
        "fraction_bits": op.fraction_bits,
    }


def _numbered(name: str, values: Sequence[int]) -> Word:
    return {numbered(name, i): value for i, value in enumerate(values)}


def _fetch(plan: FetchPlan) -> Word:
    word = {
        "region": plan.region,
        "offset": plan.offset,
        "beats": plan.beats,
        "target": plan.target,
        "core": plan.core,
        "buffer": plan.buffer,
        "address": plan.address,
        "sent": plan.sent,
    }
    counters = {"gathered": plan.gathered, "passed": plan.passed, "stored": plan.stored}
    for name, values in counters.items():
        word |= _numbered(name, values)
    return word


def program(schedule: Schedule) -> Program:
    """The words that make the units do what ``schedule`` says."""
    cores = len(schedule.cores)
    words: dict[str, list[Word]] = {unit: [] for unit in units(schedule.channels, cores)}
    images = []
    for core, plan in enumerate(schedule.cores):
        phases = schedule.phases_of(core)
        c = constants(
            [phase.operation for phase in phases],
            plan.geometry,
            schedule.axi_bytes,
            streamed=schedule.streamed,
            weight_bits=plan.weight_bits,
        )
        images.append(c)
        for i, phase in enumerate(phases):
            words[numbered("gather", core)].append(_gather(phase, schedule))
            words[numbered("core", core)].append(_core(phase, schedule))
            words[numbered("epilogue", core)].append(_epilogue(phase, schedule, c, i))
    for unit, transfers in zip(fetchers(schedule.channels), schedule.fetches, strict=True):
        words[unit] += map(_fetch, transfers)
    for send in schedule.sends:
        words["send"].append(
            {
                "region": send.region,
                "offset": send.offset,
                "beats": send.beats,
                "buffer": send.buffer,
                "address": send.address,
                "producer": send.producer,
                "stored": send.stored,
            }
        )
    return Program({unit: tuple(listing) for unit, listing in words.items()}, tuple(images))


def config_for(schedule: Schedule, compiled: Program, **changes) -> Config:
    """The smallest machine that runs ``compiled``."""
    shared = {
        "word_bytes": schedule.word_bytes,
        "axi_bytes": schedule.axi_bytes,
        "buffer_words": tuple(n // schedule.word_bytes for n in schedule.buffer_bytes),
        "element_bytes": schedule.element_bytes,
        "program_words": max(len(listing) for listing in compiled.words.values()),
        "token_bits": TOKEN_BITS,
        "loadable": False,
        "streamed": schedule.streamed,
        "channels": schedule.channels,
        "core_count": len(schedule.cores),
        "rings": any(life.ring is not None for life in schedule.lifetimes),
    }
    first, *others = (
        Config(**(_core_settings(schedule, compiled, core) | shared | changes))
        for core in range(len(schedule.cores))
    )
    return replace(first, others=tuple(others))


def _core_settings(schedule: Schedule, compiled: Program, core: int) -> dict[str, Any]:
    """What a core needs for itself."""
    plan, c = schedule.cores[core], compiled.constants[core]
    g = plan.geometry
    operations = [phase.operation for phase in schedule.phases_of(core)]
    windows = [op.window for op in operations]
    longest = max(op.words(g) for op in operations)
    rows = [op.softmax[0] * groups_per_pixel(op, g) for op in operations if op.softmax is not None]
    return {
        "rows": g.rows,
        "cols": g.cols,
        "depth": g.depth,
        "lanes": g.lanes,
        "patch_words": max(16, 1 << (2 * longest - 1).bit_length()),
        "weight_words": plan.weight_words,
        "bias_words": c.bias_words,
        "scale_words": c.scale_words,
        "tables": len(c.tables) // 256,
        "exponents": len(c.exponent_words) // 256,
        "softmax_groups": max(rows, default=0),
        "weight_bits": c.weight_bits,
        "accumulator_bits": schedule.accumulator_bits(core),
        "patterns": schedule.patterns(core),
        "segment": max((w.segments.size for w in windows if w.segments), default=0),
        "doubled": any(w.doubled for w in windows),
        "residual": any(op.residual is not None for op in operations),
        "maximum": any(op.maximum for op in operations),
        "multiply": any(op.residual.multiply for op in operations if op.residual is not None),
        "pool": max((op.pool_row for op in operations if op.pool), default=0),
        "even": any(op.even for op in operations),
        "product_words": longest if g.unrolled else 0,
        "product_latency": c.product.latency if c.product is not None else 0,
    }
