"""Lowering of convolutions, products and pooling."""

from dataclasses import replace
from functools import cache

import numpy as np

from .cost import cycles
from .errors import UserError
from .graph import Conv, ConvTranspose, MatMul, Pool, Tensor
from .lower_copy import IDENTITY
from .lower_segments import Images, Wiring, segmented
from .operation import Geometry, Operation, Sink, Window
from .quantise import quantise_multiplier
from .views import View

__all__ = ["convolution", "flipped", "pools", "product"]


def _sink(view: View, channel: int = 0, row: int = 0, pixel: int = 0, pixels: int = 0) -> Sink:
    """A sink at an output image's view, from ``channel`` and pixel (``row``, ``pixel``) on."""
    _, down, right, _ = view.strides
    count = pixels or view.shape[2]
    return Sink(
        storage=view.storage,
        offset=view.offset + channel + row * down + pixel * right,
        pixel=right,
        row=down - (count - 1) * right,
        pixels=count,
        pass_step=view.panel_step or None,
    )


def _raw_bias(task: Conv | MatMul, zero_point: int) -> np.ndarray:
    """Bias with the input's zero point multiplied out, so that the array sees raw elements."""
    if zero_point == 0:
        return task.bias.astype(np.int64)
    sums = task.weights.reshape(len(task.weights), -1).astype(np.int64).sum(axis=1)
    return task.bias.astype(np.int64) - zero_point * sums


def _shared(bias: np.ndarray) -> np.ndarray:
    """One entry for all outputs where all are equal."""
    return bias[:1] if (bias == bias[0]).all() else bias


def _check_range(task: Conv | MatMul, bias: np.ndarray) -> None:
    """Of int8, accumulators are 32 bits wide; a layer that could exceed them has no place here."""
    sums = np.abs(task.weights.astype(np.int64)).reshape(len(task.weights), -1).sum(axis=1)
    if np.any(np.abs(bias) + 128 * sums >= 1 << 31):
        raise UserError(
            f"task '{task.name}' can exceed a 32-bit accumulator; split its reduction or bias"
        )


def convolution(
    task: Conv, images: Images, geometry: Geometry, wiring: Wiring | None
) -> list[Operation]:
    """By patches, or by segments where there is ``wiring`` for them and they are quicker; nothing
    where only segments would do and there are none."""
    bias = _raw_bias(task, images.x.zero_point)
    if geometry.element_bytes == 1:
        _check_range(task, bias)
    own = []
    if wiring is not None:
        found = segmented(task, images, geometry, wiring, bias)
        own = [found] if found is not None else []
    if images.pooled or images.source.panel or images.source.doubled:
        return own
    patches = _by_patches(task, images, geometry, bias)
    if wiring is None or not own:
        return patches
    return _quicker(own, patches, geometry, wiring)


def _quicker(
    own: list[Operation], patches: list[Operation], geometry: Geometry, wiring: Wiring
) -> list[Operation]:
    """Operations on segments, columns of their ``own``, or on patches: what takes fewer cycles."""
    costs = [cycles(made, geometry, wiring.word_bytes) for made in (own, patches)]
    return own if costs[0] < costs[1] else patches


def _by_patches(
    task: Conv, images: Images, geometry: Geometry, bias: np.ndarray
) -> list[Operation]:
    """One operation per block of groups; a block's weights are block-diagonal."""
    source, x, sink, y = images.source, images.x, images.sink, images.y
    outputs, height, width, per_group = task.weights.shape
    _, in_height, in_width, channels = x.shape
    _, down, right, _ = source.strides
    top, _, left, _ = task.padding
    out_group = outputs // task.groups
    block = 1
    if task.groups > 1:
        block = max(1, min(geometry.cols // out_group, geometry.depth // per_group, task.groups))
    result = []
    for first in range(0, task.groups, block):
        count = min(block, task.groups - first)
        span = count * per_group
        weights = np.zeros((count * out_group, height, width, span), dtype=np.int16)
        for g in range(count):
            own = task.weights[(first + g) * out_group : (first + g + 1) * out_group]
            weights[g * out_group : (g + 1) * out_group, ..., g * per_group :][..., :per_group] = (
                own
            )
        whole_row = span == channels == right and task.dilation[1] == 1
        chosen = slice(first * out_group, (first + count) * out_group)
        position = -left * right
        window = Window(
            storage=source.storage,
            offset=source.offset + first * per_group - top * down + position,
            run=width * span if whole_row else span,
            taps=1 if whole_row else width,
            tap_step=0 if whole_row else task.dilation[1] * right,
            lines=height,
            line_stride=task.dilation[0],
            pixels=y.shape[2],
            pixel_step=task.stride[1] * right,
            rows=y.shape[1],
            row_stride=task.stride[0],
            pitch=down,
            position=position,
            width=in_width * right,
            line=-top,
            height=in_height,
            pad=x.zero_point,
        )
        result.append(
            Operation(
                name=task.name if block >= task.groups else f"{task.name}_groups{first}",
                tasks=(task.name,),
                window=window,
                outputs=count * out_group,
                weights=weights.reshape(count * out_group, -1),
                bias=_shared(bias[chosen]),
                multiplier=task.multiplier[chosen],
                shift=task.shift[chosen],
                zero=y.zero_point,
                clamp=task.clamp,
                sink=_sink(sink, channel=first * out_group),
                even=task.even,
                macs=y.shape[1]
                * y.shape[2]
                * int(np.prod(task.weights.shape[1:]))
                * count
                * out_group,
            )
        )
    return result


def product(
    task: MatMul, source: View, x: Tensor, sink: View, y: Tensor, geometry: Geometry
) -> Operation:
    """A product over the last axis; one vector is read as lines, so that it can be read early."""
    outputs, size = task.weights.shape
    vectors = int(np.prod(x.shape[:-1], dtype=np.int64))
    bias = _raw_bias(task, x.zero_point)
    if geometry.element_bytes == 1:
        _check_range(task, bias)
    lines = 1
    if vectors == 1:
        wide = range(geometry.depth + 1, size + 1)
        lines = size // next((n for n in wide if size % n == 0 and n % geometry.lanes == 0), size)
    window = Window(
        storage=source.storage,
        offset=source.offset,
        run=size // lines,
        lines=lines,
        rows=vectors,
        pitch=size // lines,
        width=size // lines,
        height=lines if vectors == 1 else vectors,
    )
    return Operation(
        name=task.name,
        tasks=(task.name,),
        window=window,
        outputs=outputs,
        weights=task.weights,
        bias=_shared(bias),
        multiplier=task.multiplier,
        shift=task.shift,
        zero=y.zero_point,
        clamp=task.clamp,
        sink=Sink(sink.storage, sink.offset, pixel=0, row=outputs, pixels=1),
        even=task.even,
        macs=vectors * outputs * size,
    )


def flipped(task: ConvTranspose) -> Conv:
    """The convolution that a transposed convolution of stride 1 is.

    Raises
    ------
    UserError
        If its stride is larger, or it crops more than its kernel reaches.
    """
    _, height, width, _ = task.weights.shape
    edges = (height, height, width, width)
    padding = tuple(n - 1 - cropped for n, cropped in zip(edges, task.padding, strict=True))
    if task.stride != (1, 1):
        raise UserError(
            f"task '{task.name}': no hardware for a transposed convolution of stride {task.stride}"
        )
    if min(padding) < 0:
        raise UserError(
            f"task '{task.name}': no hardware for a transposed convolution that crops "
            f"{task.padding} of a kernel of {height} x {width}"
        )
    return Conv(
        task.name,
        task.inputs,
        task.output,
        np.ascontiguousarray(task.weights[:, ::-1, ::-1]),
        task.bias,
        task.multiplier,
        task.shift,
        padding=padding,  # pyright: ignore[reportArgumentType]
        clamp=task.clamp,
    )


AVERAGE_WEIGHT = 64
"""Weight of an average's taps: fraction bits, so that both roundings round the true quotient."""


@cache
def _average(count: int) -> tuple[int, int]:
    """Multiplier and shift that divide any sum of ``count`` int8, times 64, by ``64 * count``.

    Rounds half away from zero. The smallest multiplier not below the quotient keeps ties ties or
    errs away from zero; it is checked over all sums.
    """
    sums = np.arange(-128 * count, 127 * count + 1, dtype=np.int64)
    wanted = np.sign(sums) * ((2 * np.abs(sums) + count) // (2 * count))
    for right in range(31):
        multiplier = -(-(1 << (31 + right)) // (AVERAGE_WEIGHT * count))
        if 1 << 30 <= multiplier < 1 << 31:
            doubled = (AVERAGE_WEIGHT * sums * multiplier + (1 << 30)) >> 31
            half = (1 << right) >> 1
            rounded = (doubled + half - ((right != 0) & (doubled < 0))) >> right
            if np.array_equal(rounded, wanted):
                return multiplier, -right
    raise UserError(f"average pooling over {count} taps has no exact 32-bit multiplier")


@cache
def _average_even(count: int) -> tuple[int, int]:
    """Multiplier and shift that divide any sum of ``count`` int8 less their zero point by
    ``count``, halves to even; checked over all sums."""
    multiplier, shift = quantise_multiplier(1 / count)
    sums = np.arange(-255 * count, 255 * count + 1, dtype=np.int64)
    fine = ((sums << max(shift, 0)) * multiplier + (1 << 18)) >> 19
    if not np.array_equal(np.rint(fine / (1 << (12 - min(shift, 0)))), np.rint(sums / count)):
        raise UserError(f"average pooling over {count} taps has no exact 32-bit multiplier")
    return multiplier, shift


def _bands(size: int, kernel: int, stride: int, before: int, extent: int) -> list[tuple]:
    """Ranges [first, last) of outputs whose windows hold equally many taps, with that number."""
    counts = []
    for i in range(size):
        start = i * stride - before
        counts.append(min(start + kernel, extent) - max(start, 0))
    bands, first = [], 0
    for i in range(1, size + 1):
        if i == size or counts[i] != counts[first]:
            bands.append((first, i, counts[first]))
            first = i
    return bands


def pools(task: Pool, images: Images, geometry: Geometry, wiring: Wiring | None) -> list[Operation]:
    """By patches, or an average by segments where ``wiring`` admits any and that is quicker."""
    patches = _pools_by_patches(task, images, geometry)
    if wiring is None:
        return patches
    average = _segmented_average(task, images, geometry, wiring)
    return patches if average is None else _quicker([average], patches, geometry, wiring)


def _segmented_average(
    task: Pool, images: Images, geometry: Geometry, wiring: Wiring
) -> Operation | None:
    """An average whose windows all have equally many taps, as a depthwise convolution."""
    if task.mode == "max" or any(task.padding):
        return None
    channels, taps = images.x.shape[-1], task.kernel[0] * task.kernel[1]
    zero = images.x.zero_point if task.even else 0
    multiplier, shift = _average_even(taps) if task.even else _average(taps)
    weight = 1 if task.even else AVERAGE_WEIGHT
    conv = Conv(
        task.name,
        task.inputs,
        task.output,
        np.full((channels, *task.kernel, 1), weight, np.int16),
        np.zeros(channels, np.int32),
        np.array([multiplier]),
        np.array([shift]),
        stride=task.stride,
        clamp=task.clamp,
        groups=channels,
        even=task.even,
    )
    op = segmented(conv, images, geometry, wiring, np.full(channels, -zero * taps, np.int64))
    return None if op is None else replace(op, zero=zero, macs=0)


def _pools_by_patches(task: Pool, images: Images, geometry: Geometry) -> list[Operation]:
    """One operation per block of channels, and for averages per band of equal tap counts."""
    source, x, sink, y = images.source, images.x, images.sink, images.y
    _, in_height, in_width, channels = x.shape
    _, out_height, out_width, _ = y.shape
    _, down, right, _ = source.strides
    top, _, left, _ = task.padding
    block = min(geometry.cols, geometry.depth, channels)
    if block > geometry.lanes:
        block -= block % geometry.lanes
    maximum = task.mode == "max"
    if not maximum and geometry.element_bytes == 2:
        raise UserError(f"task '{task.name}': no hardware for average pooling of int16")
    rows = _bands(out_height, task.kernel[0], task.stride[0], top, in_height)
    cols = _bands(out_width, task.kernel[1], task.stride[1], left, in_width)
    if maximum:
        rows, cols = [(0, out_height, 1)], [(0, out_width, 1)]
    even = None if maximum else task.even
    zero = x.zero_point if even else 0
    unit = 1 if maximum or even else AVERAGE_WEIGHT
    result = []
    for row, row_end, row_taps in rows:
        for col, col_end, col_taps in cols:
            taps = row_taps * col_taps
            divide = _average_even if even else _average
            scale = IDENTITY if maximum else divide(taps)
            for channel in range(0, channels, block):
                span = min(block, channels - channel)
                line = row * task.stride[0] - top
                position = (col * task.stride[1] - left) * right
                window = Window(
                    storage=source.storage,
                    offset=source.offset + channel + line * down + position,
                    run=span,
                    taps=task.kernel[1],
                    tap_step=right,
                    lines=task.kernel[0],
                    pixels=col_end - col,
                    pixel_step=task.stride[1] * right,
                    rows=row_end - row,
                    row_stride=task.stride[0],
                    pitch=down,
                    position=position,
                    width=in_width * right,
                    line=line,
                    height=in_height,
                    pad=geometry.limits[0] if maximum else 0,
                    align=True,
                )
                result.append(
                    Operation(
                        name=task.name if not result else f"{task.name}_part{len(result)}",
                        tasks=(task.name,),
                        window=window,
                        outputs=span,
                        weights=None,
                        bias=np.array([-zero * taps], dtype=np.int64),
                        multiplier=np.array([scale[0]]),
                        shift=np.array([scale[1]]),
                        zero=zero,
                        clamp=task.clamp,
                        sink=_sink(sink, channel, row, col, col_end - col),
                        maximum=maximum,
                        even=even,
                        unit=unit,
                    )
                )
    return result
