"""Rows: parts of operations that make some rows of an image, and the rows that these need."""

from dataclasses import replace

from .operation import Geometry, Operation, Residual, Sink
from .order import operand_bytes, written_bytes

__all__ = ["aligned", "output_rows", "pitches", "rows_between", "rows_from", "rows_until"]


def _unit(op: Operation) -> int:
    """Lines of the window's walk that an output row takes."""
    return 2 if op.pool else 1


def output_rows(op: Operation) -> int:
    """Rows of pixels that an operation makes."""
    sweep = op.window.sweep
    return op.window.rows * (sweep.tiles if sweep else 1) // _unit(op)


def _stride(op: Operation) -> int:
    """Source lines from an output row's first to the next one's."""
    sweep = op.window.sweep
    return (sweep.every if sweep else op.window.row_stride) * _unit(op)


def rows_from(op: Operation, row: int) -> int:
    """The first source row that output row ``row`` and those after it need."""
    line = op.window.line + row * _stride(op) >> op.window.doubled
    return min(max(0, line), op.window.height)


def rows_until(op: Operation, count: int) -> int:
    """The source rows before which all lie that the first ``count`` output rows need."""
    window, sweep = op.window, op.window.sweep
    if sweep is None:
        reach = (window.lines - 1) * window.line_stride + (_unit(op) - 1) * window.row_stride
    else:
        reach = sweep.warm + (_unit(op) - 1) * sweep.every
    last = window.line + (count - 1) * _stride(op) + reach >> window.doubled
    return min(max(0, last + 1), window.height)


def _pitch(place: Sink) -> int:
    """Elements from an output row to the next."""
    return (place.pixels - 1) * place.pixel + place.row


def pitches(op: Operation) -> tuple[int, int, int]:
    """Elements from a row to the next of the source, of the second operand (0 if there is none)
    and of the sink."""
    sink = _unit(op) * (op.sink.pixel if op.window.sweep else _pitch(op.sink))
    residual = 0 if op.residual is None else _pitch(op.residual.place)
    return op.window.pitch, residual, sink


def aligned(op: Operation, geometry: Geometry) -> bool:
    """Whether output rows can be made one by one, and lie, as those that they need, one after the
    other in their storages."""
    window, unit = op.window, geometry.element_bytes
    source, residual, sink = (unit * pitch for pitch in pitches(op))
    whole = op.softmax is not None and window.pixels % op.softmax[0] != 0
    apart = window.sweep is None and op.sink.pixels != window.pixels
    if whole or apart or source <= 0 or sink <= 0 or op.factor is not None:
        return False
    if window.sweep and window.rows > 1 and window.repeats > 1:
        return False
    first = rows_between(op, 0, 1)
    (low, high), (second_low, second_high) = operand_bytes(first, geometry)
    needs = rows_from(op, 0) * source, rows_until(op, 1) * source
    inside = needs[0] <= low and high <= needs[1] and written_bytes(first, geometry)[1] <= sink
    return inside and second_low >= 0 and second_high <= residual


def rows_between(op: Operation, low: int, high: int) -> Operation:
    """The part of ``op`` that makes output rows from ``low`` to before ``high``."""
    window, sweep = op.window, op.window.sweep
    rows = output_rows(op)
    if (low, high) == (0, rows) and window.rows == 1:
        return op
    first = low * _stride(op)
    down = (window.line + first >> window.doubled) - (window.line >> window.doubled)
    moved: dict = {
        "line": window.line + first,
        "offset": window.offset + down * window.pitch,
        "rows": (high - low) * _unit(op),
    }
    changes: dict = {
        "name": f"{op.name}_rows{low}",
        "macs": op.macs * (high - low) // rows,
        "sink": _below(op.sink, low * pitches(op)[2]),
        "residual": op.residual and _beside(op.residual, low),
    }
    if sweep is not None:
        tiles = (high - low) * _unit(op)
        moved |= {
            "rows": 1,
            "row_stride": sweep.every * tiles,
            "lines": (tiles - 1) * sweep.every + sweep.warm + 1,
            "segments": replace(sweep, tiles=tiles),
        }
        changes |= _first(op, window.repeats * len(sweep.patterns))
        further = op.sink.pass_step if window.repeats > 1 else 1
        strip = op.sink.row + (op.sink.pixels - 1) * op.sink.pixel
        changes["sink"] = replace(
            changes["sink"],
            pixels=tiles,
            row=strip - (tiles - 1) * op.sink.pixel,
            pass_step=further,
        )
    return replace(op, window=replace(window, **moved), **changes)


def _below(place: Sink, further: int) -> Sink:
    return replace(place, offset=place.offset + further)


def _beside(residual: Residual, row: int) -> Residual:
    return replace(residual, place=_below(residual.place, row * _pitch(residual.place)))


def _first(op: Operation, words: int) -> dict:
    """The constants of a sweep's first passes; every band has the same."""
    assert op.weights is not None
    bands = op.window.rows
    result: dict = {"weights": op.weights[:words]}
    for name in ("bias", "multiplier", "shift"):
        values = getattr(op, name)
        result[name] = values if len(values) == 1 else values[: len(values) // bands]
    return result
