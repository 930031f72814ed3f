"""Products: the fewest steps in which any array makes the rows of a task.

Either the array's rows take a pixel each and its columns channels of these, as the gather unit
reads every line of every pixel; or, where there is one row, columns take a strip of an image's row,
and lines come one by one, or a strip's from top to bottom in one sweep.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from .graph import Conv, ConvTranspose, Dot, Graph, MatMul, Task
from .lower_conv import flipped
from .lower_segments import MOST_EVERY, MOST_WARM, MOST_WEIGHTS

__all__ = ["Products", "Way", "products_of"]


@dataclass(frozen=True)
class Way:
    """A way to make rows: ``total`` steps for all of them, and for each no less than ``row`` and
    ``line`` more for each of its lines inside.

    Before the last line that a row reads is there, at most ``early`` of what is left of it and
    those below may be done, and ``early_line`` more for each but one of its lines: what the array
    does is one tile after the other. Of the total, ``begun`` may be done before the first row's
    last line is there.
    """

    total: int
    row: int
    line: int
    early: int
    early_line: int
    begun: int


@dataclass(frozen=True)
class Products:
    """Rows of ``pixels`` of ``outputs`` channels, each the sum of so many products of every line
    that it reads: ``taps`` of each of ``height`` lines, of which ``lines``, by row, lie inside.

    ``stride`` leads from a row's first line to the next row's. ``strips`` are ways to cut rows into
    parts that columns take side by side: each channel apart, pixels whole, or not at all.
    """

    lines: np.ndarray
    height: int
    taps: int
    pixels: int
    outputs: int
    stride: int = 1
    strips: Literal["channels", "pixels", ""] = ""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for equal products."""
        return self.lines.tobytes(), *(getattr(self, f.name) for f in fields(self)[1:])

    def steps(self, rows: int, cols: int, depth: int) -> int:
        """The fewest steps of an array."""
        return min(way.total for way in self.ways(rows, cols, depth))

    def ways(self, rows: int, cols: int, depth: int) -> Iterator[Way]:
        """What an array can do."""
        high = len(self.lines)
        pixels, sums = high * self.pixels, self.height * self.taps
        words, passes = -(-sums // depth), -(-self.outputs // cols)
        # Lines lie apart, unless a line is the whole row of the image.
        beats = max(-(-sums // (depth + 1)), self.height if self.pixels > 1 else 1)
        total = max(-(-pixels // rows) * passes * words, pixels * beats)
        row = max(self.pixels * passes * words // rows, self.pixels * beats)
        early = max(words, beats) - 1
        yield Way(total, row, 0, early, 0, early)
        whole = self.strips == "pixels"
        if rows > 1 or not self.strips or (whole and self.outputs > cols):
            return
        abreast = cols // self.outputs * self.outputs if whole else cols
        strips = -(-self.pixels * self.outputs // abreast)
        weights = -(-self.taps // depth)
        if weights <= MOST_WEIGHTS:
            begun = max(0, int(self.lines[0]) - 1) * weights
            total = strips * int(self.lines.sum()) * weights
            yield Way(total, 0, strips * weights, 0, weights, begun)
        if depth >= self.height and self.height - 1 <= MOST_WARM and self.stride <= MOST_EVERY:
            further = -(-self.taps // (depth // self.height)) - 1
            total = strips * ((high - 1) * self.stride + self.height + high * further)
            row = strips * (min(self.stride, self.height) + further)
            yield Way(total, row, 0, self.stride - 1, 0, max(self.stride, self.height) - 1)


def products_of(task: Task, graph: Graph) -> Products | None:
    """Of a task that multiplies by weights, or two matrices."""
    x, y = graph.tensors[task.inputs[0]].shape, graph.tensors[task.output].shape
    if isinstance(task, MatMul | Dot):
        return Products(np.ones(1, int), 1, x[-1], int(np.prod(y[:-1])), y[-1])
    if isinstance(task, ConvTranspose):
        task = flipped(task)
    if isinstance(task, Conv):
        outputs, height, width, channels = task.weights.shape
        first = np.arange(y[1]) * task.stride[0] - task.padding[0]
        reach = first[:, None] + np.arange(height) * task.dilation[0]
        inside = ((reach >= 0) & (reach < x[1])).sum(axis=1)
        strips = "pixels" if task.groups == 1 else "channels"
        return Products(inside, height, width * channels, y[2], outputs, task.stride[0], strips)
    return None
