"""Random small graphs of every operator that the hardware knows, for property tests.

Built on Graph directly: no file format and no frontend is in the way. Weights and scales are seeded
by hypothesis, so that a failure shrinks and repeats.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from gen.graph import (
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Dot,
    Graph,
    Interpolate,
    Lookup,
    MatMul,
    Multiply,
    Pad,
    Pool,
    Reshape,
    RowSoftmax,
    Slice,
    Softmax,
    Task,
    Tensor,
    Transpose,
    Upsample,
)
from gen.task_products import EQUAL_SCALES, INT16_MULTIPLIER

__all__ = ["graphs", "images", "matrices", "random_inputs", "separable", "skips"]

KINDS = (
    ("conv",) * 5
    + ("block",) * 2
    + (
        "depthwise",
        "grouped",
        "conv1d",
        "add",
        "add",
        "maxpool",
        "maxpool",
        "averagepool",
        "lookup",
    )
    + ("softmax", "pad", "concat", "transpose", "slice", "reshape")
)

KINDS16 = (
    *(kind for kind in KINDS if kind != "averagepool"),
    *("multiply", "multiply", "upsample", "conv_transpose"),
)
"""Of int16: averages have no hardware."""


@dataclass
class _Builder:
    rng: np.random.Generator
    draw: st.DrawFn
    tensors: dict[str, Tensor] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    wide: bool = False
    bits: int = 8
    symmetric: bool = False

    def tensor(self, shape: tuple[int, ...], scale: float | None = None) -> Tensor:
        name = f"t{len(self.tensors)}"
        if self.bits == 16:
            scale = 2.0 ** -int(self.rng.choice((9, 12, 15))) if scale is None else scale
            self.tensors[name] = Tensor(name, shape, scale, 0, bits=16)
        else:
            zero = 0 if self.symmetric else int(self.rng.integers(-128, 128))
            self.tensors[name] = Tensor(name, shape, 0.1, zero)
        return self.tensors[name]

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.tasks)}"

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def scales(self, count: int, reduction: int) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers and shifts under which sums of ``reduction`` products spread over int8, or
        over int16, of which most have one shift for all outputs."""
        if self.bits == 16:
            dropped = 15 + round(np.log2(reduction) / 2) - self.rng.integers(-1, 3)
            spread = self.rng.integers(0, 2, count) if self.rng.random() < 0.1 else 0
            shifts = np.broadcast_to(1 - dropped - spread, (count,)).astype(np.int8)
            return np.full(count, INT16_MULTIPLIER, np.int32), shifts
        count_here = 1 if self.rng.random() < 0.4 else count
        real = 2.0 / (74 * np.sqrt(reduction)) * self.rng.uniform(0.3, 2.0, count_here)
        if self.rng.random() < 0.1:
            real = real * 80
        fraction, exponent = np.frexp(real)
        multiplier = np.round(fraction * (1 << 31)).astype(np.int64)
        full = np.broadcast_to(np.minimum(multiplier, (1 << 31) - 1), (count,))
        return full.astype(np.int32), np.broadcast_to(exponent, (count,)).astype(np.int8)

    def even(self) -> bool:
        """Whether a task rounds halves to even."""
        return self.bits == 8 and bool(self.rng.random() < 0.5)

    def clamp(self, zero: int) -> tuple[int, int]:
        if self.bits == 16:
            return (0, 32767) if self.rng.random() < 0.4 else (-32768, 32767)
        return (zero, 127) if self.rng.random() < 0.4 and zero < 127 else (-128, 127)

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        if self.bits == 16:
            return self.rng.integers(-32768, 32768, shape).astype(np.int16)
        wide = self.rng.random() < 0.1
        low, high = (-255, 256) if wide and self.wide else (-128, 128)
        return self.rng.integers(low, high, shape).astype(np.int16)

    def conv(self, x: Tensor, kind: str) -> None:
        _, h, w, c = x.shape
        kh = 1 if kind == "conv1d" else self.integer(1, min(4, h + 2))
        kw = self.integer(1, min(4, w + 2))
        dilation = (1, 1) if self.rng.random() < 0.7 else (self.integer(1, 2), self.integer(1, 2))
        stride = (self.integer(1, 3), self.integer(1, 3))
        padding = tuple(self.integer(0, 2) for _ in range(4))
        if kind == "conv1d":
            padding = (0, 0, *padding[2:])
        oh = (h + padding[0] + padding[1] - (kh - 1) * dilation[0] - 1) // stride[0] + 1
        ow = (w + padding[2] + padding[3] - (kw - 1) * dilation[1] - 1) // stride[1] + 1
        if oh < 1 or ow < 1:
            return
        groups = 1
        if kind == "depthwise":
            groups = c
        elif kind == "grouped":
            groups = self.draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0]))
        outputs = groups * self.integer(1, max(1, 24 // groups))
        y = self.tensor((1, oh, ow, outputs))
        reduction = kh * kw * c // groups
        multiplier, shift = self.scales(outputs, reduction)
        self.tasks.append(
            Conv(
                self.name(kind),
                (x.name,),
                y.name,
                self.weights((outputs, kh, kw, c // groups)),
                self.bias(outputs),
                multiplier,
                shift,
                stride,
                dilation,
                padding,  # pyright: ignore[reportArgumentType]
                groups,
                self.clamp(y.zero_point),
                self.even(),
            )
        )

    def bias(self, count: int) -> np.ndarray:
        most = 2000 if self.bits == 8 else 1 << 29
        return self.rng.integers(-most, most, count).astype(np.int32)

    def conv_transpose(self, x: Tensor) -> None:
        _, h, w, c = x.shape
        kh, kw, outputs = self.integer(1, 3), self.integer(1, 3), self.integer(1, 6)
        top, left = self.integer(0, min(kh, h) - 1), self.integer(0, min(kw, w) - 1)
        y = self.tensor((1, h + kh - 1 - top, w + kw - 1 - left, outputs))
        multiplier, shift = self.scales(outputs, kh * kw * c)
        self.tasks.append(
            ConvTranspose(
                self.name("conv_transpose"),
                (x.name,),
                y.name,
                self.weights((outputs, kh, kw, c)),
                self.bias(outputs),
                multiplier,
                shift,
                padding=(top, 0, left, 0),
                clamp=self.clamp(0),
            )
        )

    def window(
        self, x: Tensor, outputs: int, kernel: int, groups: int, *, same: bool = False
    ) -> Tensor:
        """A square convolution, which keeps the size if ``same``, and its output; or ``x``, where
        there is no window."""
        spread = 2 if self.rng.random() < 0.1 else 1
        stride = (self.integer(1, 2), self.integer(1, 2))
        padding = tuple(self.integer(0, 2) for _ in range(4)) if kernel > 1 else (0, 0, 0, 0)
        if same:
            spread, stride, padding = 1, (1, 1), (kernel // 2,) * 4
        reach = (kernel - 1) * spread + 1
        height = (x.shape[1] + padding[0] + padding[1] - reach) // stride[0] + 1
        width = (x.shape[2] + padding[2] + padding[3] - reach) // stride[1] + 1
        if height < 1 or width < 1:
            return x
        y = self.tensor((1, height, width, outputs))
        per_group = x.shape[-1] // groups
        multiplier, shift = self.scales(outputs, kernel * kernel * per_group)
        weights = self.weights((outputs, kernel, kernel, per_group))
        bias = self.bias(outputs)
        self.tasks.append(
            Conv(self.name("conv"), (x.name,), y.name, weights, bias, multiplier, shift, stride,
                 (spread, spread), padding, groups, self.clamp(y.zero_point), self.even())
        )  # fmt: skip
        return y

    def block(self, x: Tensor) -> None:
        """One or two convolutions that keep the shape, and the addition of their input."""
        c = x.shape[-1]
        last, even = x, self.even()
        for _ in range(self.integer(1, 2)):
            k = self.draw(st.sampled_from((1, 3)))
            y = self.tensor(x.shape)
            multiplier, shift = self.scales(c, k * k * c)
            weights = self.weights((c, k, k, c))
            padding, clamp = (k // 2,) * 4, self.tensors[y.name].limits
            self.tasks.append(
                Conv(self.name("conv"), (last.name,), y.name, weights, self.bias(c), multiplier,
                     shift, padding=padding, clamp=clamp, even=even)
            )  # fmt: skip
            last = y
        self.combine(last, x, even)

    def combine(self, x: Tensor, other: Tensor, even: bool | None = None) -> None:
        """The sum of two tensors; of int16 of different scales, their product."""
        if x.scale != other.scale:
            self.multiply(x, [other])
        else:
            self.add(x, [other], even)

    def matmul(self, x: Tensor) -> None:
        outputs = self.integer(1, 40)
        y = self.tensor((*x.shape[:-1], outputs))
        multiplier, shift = self.scales(outputs, x.shape[-1])
        self.tasks.append(
            MatMul(
                self.name("matmul"),
                (x.name,),
                y.name,
                self.weights((outputs, x.shape[-1])),
                self.bias(outputs),
                multiplier,
                shift,
                self.clamp(y.zero_point),
                self.even(),
            )
        )

    def pool(self, x: Tensor, mode: str) -> None:
        _, h, w, c = x.shape
        kernel = (self.integer(1, min(4, h)), self.integer(1, min(4, w)))
        stride = (self.integer(1, 3), self.integer(1, 3))
        top, bottom = (self.integer(0, kernel[0] // 2) for _ in range(2))
        left, right = (self.integer(0, kernel[1] // 2) for _ in range(2))
        oh = (h + top + bottom - kernel[0]) // stride[0] + 1
        ow = (w + left + right - kernel[1]) // stride[1] + 1
        y = self.same(x, (1, oh, ow, c))
        padding = (top, bottom, left, right)
        task = Pool(self.name(mode), (x.name,), y.name, mode, kernel, stride, padding, x.limits)
        self.tasks.append(replace(task, even=self.even()))

    def add(self, x: Tensor, others: list[Tensor], even: bool | None = None) -> None:
        matching = [t for t in others if t.shape == x.shape and t.scale == x.scale]
        other = self.draw(st.sampled_from(matching))
        y = self.tensor(x.shape, other.scale)
        if self.bits == 16:
            operands, clamp = (x.name, other.name), self.clamp(0)
            self.tasks.append(Add(self.name("add"), operands, y.name, *EQUAL_SCALES, clamp))
            return
        pairs = []
        for low, high in ((0.3, 1.0), (0.3, 1.0), (2.0**-21, 2.0**-19)):
            fraction, exponent = np.frexp(self.rng.uniform(low, high) * 0.999)
            pairs.append((int(fraction * (1 << 31)), int(exponent)))
        even = self.even() if even is None else even
        operands, clamp = (x.name, other.name), self.clamp(y.zero_point)
        self.tasks.append(Add(self.name("add"), operands, y.name, *pairs, clamp, even))

    def multiply(self, x: Tensor, others: list[Tensor]) -> None:
        """By a tensor of the same shape, or of one channel."""
        matching = [t for t in others if t.shape == x.shape or t.shape == (*x.shape[:-1], 1)]
        other = self.draw(st.sampled_from(matching))
        y, dropped = self.tensor(x.shape), int(self.rng.integers(12, 17))
        operands = (x.name, other.name) if self.rng.random() < 0.5 else (other.name, x.name)
        numbers = INT16_MULTIPLIER, 1 - dropped
        task = Multiply(self.name("multiply"), operands, y.name, *numbers, clamp=self.clamp(0))
        self.tasks.append(task)

    def upsample(self, x: Tensor, factor: int = 0) -> None:
        _, h, w, c = x.shape
        factor = factor or self.integer(2, 3)
        y = self.same(x, (1, h * factor, w * factor, c))
        self.tasks.append(Upsample(self.name("upsample"), (x.name,), y.name, factor))

    def same(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        y = Tensor(f"t{len(self.tensors)}", shape, x.scale, x.zero_point, bits=x.bits)
        self.tensors[y.name] = y
        return y

    def lookup(self, x: Tensor) -> None:
        y = self.tensor(x.shape)
        if self.bits == 16:
            points = self.rng.integers(-32768, 32768, 257).astype(np.int16)
            name = self.name("interpolate")
            self.tasks.append(Interpolate(name, (x.name,), y.name, "random", points))
            return
        table = self.rng.integers(-128, 128, 256).astype(np.int8)
        self.tasks.append(Lookup(self.name("lookup"), (x.name,), y.name, "random", table))

    def softmax(self, x: Tensor) -> None:
        if self.bits == 16:
            y, fraction = self.tensor(x.shape, 2.0**-15), int(-np.log2(x.scale))
            self.tasks.append(RowSoftmax(self.name("softmax"), (x.name,), y.name, fraction))
            return
        y = Tensor(f"t{len(self.tensors)}", x.shape, 1 / 256, -128)
        self.tensors[y.name] = y
        multiplier, left = int(self.rng.integers(1 << 30, 1 << 31)), int(self.rng.integers(20, 26))
        radius = int(31 * 2.0 ** (31 - 5 - left))
        self.tasks.append(
            Softmax(self.name("softmax"), (x.name,), y.name, multiplier, left, -radius)
        )

    def pad(self, x: Tensor) -> None:
        padding = ((0, 0), *((self.integer(0, 2), self.integer(0, 2)) for _ in range(3)))
        shape = tuple(n + sum(p) for n, p in zip(x.shape, padding, strict=True))
        y = self.same(x, shape)
        self.tasks.append(Pad(self.name("pad"), (x.name,), y.name, padding, x.zero_point))

    def concat(self, x: Tensor, others: list[Tensor]) -> None:
        axis = self.integer(1, 3)

        def rest(t: Tensor) -> tuple[int, ...]:
            return t.shape[:axis] + t.shape[axis + 1 :]

        fits = [
            t
            for t in others
            if len(t.shape) == 4 and rest(t) == rest(x) and (self.bits == 8 or t.scale == x.scale)
        ]
        other = self.draw(st.sampled_from(fits))
        shape = list(x.shape)
        shape[axis] += other.shape[axis]
        y = self.same(x, tuple(shape))
        self.tasks.append(Concat(self.name("concat"), (x.name, other.name), y.name, axis))

    def transpose(self, x: Tensor) -> None:
        order = (0, *self.draw(st.permutations([1, 2, 3])))
        y = self.same(x, tuple(x.shape[i] for i in order))
        self.tasks.append(Transpose(self.name("transpose"), (x.name,), y.name, order))

    def slice(self, x: Tensor) -> None:
        start, step, shape = [0], [1], [1]
        for n in x.shape[1:]:
            first, by = self.integer(0, n - 1), self.integer(1, 2)
            start.append(first)
            step.append(by)
            shape.append(self.integer(1, -(-(n - first) // by)))
        y = self.same(x, tuple(shape))
        self.tasks.append(Slice(self.name("slice"), (x.name,), y.name, tuple(start), tuple(step)))

    def reshape(self, x: Tensor) -> None:
        _, h, w, c = x.shape
        y = self.same(x, (1, 1, h * w, c) if self.rng.random() < 0.5 else (1, h, 1, w * c))
        self.tasks.append(Reshape(self.name("reshape"), (x.name,), y.name))

    def step(self, kind: str, x: Tensor, live: list[Tensor]) -> None:
        if kind in ("conv", "depthwise", "grouped", "conv1d"):
            self.conv(x, kind)
        elif kind in ("maxpool", "averagepool"):
            self.pool(x, kind.removesuffix("pool"))
        elif kind in ("add", "concat", "multiply"):
            getattr(self, kind)(x, live)
        else:
            getattr(self, kind)(x)


@st.composite
def graphs(draw: st.DrawFn, *, wide: bool = False, bits: int = 8, most: int = 5) -> Graph:
    """A graph of up to ``most`` steps on one input; ``wide`` allows weights with a zero point."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    b = _Builder(rng, draw, wide=wide, bits=bits)
    kinds = KINDS if bits == 8 else KINDS16
    vector = draw(st.integers(0, 5)) == 0
    if vector:
        shape = (1, draw(st.integers(1, 96)))
    else:
        shape = (1, *(draw(st.integers(1, 9)) for _ in range(2)), draw(st.integers(1, 20)))
    first = b.tensor(shape)
    live = [first]
    for _ in range(draw(st.integers(1, most))):
        x = live[-1] if draw(st.integers(0, 3)) else draw(st.sampled_from(live))
        if len(x.shape) == 2:
            kind = draw(st.sampled_from(("matmul", "matmul", "lookup", "add", "softmax")))
        else:
            kind = draw(st.sampled_from(kinds))
        count = len(b.tasks)
        b.step(kind, x, live)
        if len(b.tasks) > count:
            live.append(b.tensors[b.tasks[-1].output])
    if len(live) > 2 and draw(st.integers(0, 1)):
        # A second use of an early tensor, late: where memory is scarce it has to leave meanwhile.
        b.lookup(live[1])
        live.append(b.tensors[b.tasks[-1].output])
    if draw(st.integers(0, 3)) == 0 and len(live[-1].shape) == 4 and live[-1].size <= 400:
        x = live[-1]
        flat = b.same(x, (1, x.size))
        b.tasks.append(Reshape(b.name("flatten"), (x.name,), flat.name))
        b.matmul(flat)
    if not b.tasks:
        b.lookup(first)
    used = {name for task in b.tasks for name in task.inputs}
    outputs = tuple(t.output for t in b.tasks if t.output not in used)
    return Graph("random", b.tensors, tuple(b.tasks), (first.name,), outputs)


@st.composite
def skips(draw: st.DrawFn, *, size: int, bits: int = 8) -> Graph:
    """Equal tensors of up to ``size`` elements each, four of which are alive at once, even if sums
    take the place of an operand: the first has to leave where memory holds three."""
    b = _Builder(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw, bits=bits)
    w, c = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    h = max(1, size // (w * c))
    x = b.tensor((1, h, w, c))
    b.lookup(x)
    first = b.tensors[b.tasks[-1].output]
    b.lookup(first)
    early = b.tensors[b.tasks[-1].output]
    b.lookup(early)
    for _ in range(draw(st.integers(1, 2))):
        second = b.tensors[b.tasks[-1].output]
        b.block(second)
        b.block(b.tensors[b.tasks[-1].output])
    b.combine(b.tensors[b.tasks[-1].output], early)
    b.combine(b.tensors[b.tasks[-1].output], first)
    tails = ("", "softmax", "maxpool", "averagepool")
    tail = draw(st.sampled_from(tails if bits == 8 else tails[:-1]))
    if tail:
        b.step(tail, b.tensors[b.tasks[-1].output], [])
    return Graph("skips", b.tensors, tuple(b.tasks), (x.name,), (b.tasks[-1].output,))


@st.composite
def images(draw: st.DrawFn) -> Graph:
    """Convolutions of images of one or two channels in int16, twice as large or half as large in
    between, and element-wise tasks."""
    b = _Builder(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw, bits=16)
    shape = (
        1,
        draw(st.integers(1, 10)),
        draw(st.integers(1, 10)),
        draw(st.sampled_from((1, 1, 2))),
    )
    x = first = b.tensor(shape)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(
            st.sampled_from(("upsample", "halve", "halve", "lookup", "multiply", "add", ""))
        )
        same = kind in ("halve", "upsample") or draw(st.booleans())
        x = b.window(x, draw(st.sampled_from((1, 1, 2))), 3, 1, same=same)
        if kind == "halve" and x.shape[1] > 1 and x.shape[2] > 1:
            y = Tensor(f"t{len(b.tensors)}", (1, x.shape[1] // 2, x.shape[2] // 2, x.shape[3]),
                       x.scale, 0, bits=16)  # fmt: skip
            b.tensors[y.name] = y
            pool = Pool(b.name("max"), (x.name,), y.name, "max", (2, 2), (2, 2), clamp=x.limits)
            b.tasks.append(pool)
        elif kind == "upsample" and x.size <= 300:
            b.upsample(x, 2)
        elif kind in ("lookup", "multiply", "add"):
            b.step(kind, x, [x])
        x = b.tensors[b.tasks[-1].output] if b.tasks else x
    if not b.tasks:
        b.lookup(x)
    used = {name for task in b.tasks for name in task.inputs}
    outputs = tuple(t.output for t in b.tasks if t.output not in used)
    return Graph("images", b.tensors, tuple(b.tasks), (first.name,), outputs)


@st.composite
def volumes(draw: st.DrawFn, *, bits: int = 8) -> Graph:
    """Images that grow and shrink from task to task, so that the largest tensor has at least a
    hundred times as many elements as the smallest, with a branch that joins again at times."""
    b = _Builder(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw, bits=bits)
    sides = draw(st.integers(5, 10)), draw(st.integers(5, 10))
    x = first = b.tensor((1, *sides, draw(st.integers(1, 3))))
    for _ in range(draw(st.integers(2, 4))):
        before = x
        same = draw(st.booleans())
        x = b.window(x, draw(st.sampled_from((1, 2, 2, 4, 8))), 3, 1, same=same)
        kind = draw(st.sampled_from(("upsample", "pool", "add", "lookup", "")))
        if kind == "upsample" and x.size <= 400:
            b.upsample(x, 2)
        elif kind == "pool":
            b.pool(x, "max")
        elif kind == "add" and before is not x:
            b.block(x)
        elif kind == "lookup":
            b.lookup(x)
        x = b.tensors[b.tasks[-1].output] if b.tasks else x
    y = b.same(x, (1, 1, 1, x.shape[-1]))
    b.tasks.append(
        Pool(b.name("max"), (x.name,), y.name, "max", x.shape[1:3], (1, 1), clamp=x.limits)
    )
    if draw(st.booleans()):
        b.window(y, draw(st.integers(1, 3)), 1, 1, same=True)
    sizes = [b.tensors[task.output].size for task in b.tasks] + [first.size]
    assume(max(sizes) >= 100 * min(sizes))
    return Graph("volumes", b.tensors, tuple(b.tasks), (first.name,), (b.tasks[-1].output,))


@st.composite
def separable(draw: st.DrawFn) -> Graph:
    """Convolutions of few channels, then depthwise ones and products by turns, of the kernels and
    strides for which a machine may have patterns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    b = _Builder(rng, draw, symmetric=draw(st.booleans()))
    few = draw(st.sampled_from((1, 2, 3, 3, 3, 4, 8, 12, 16, 20)))
    x = b.tensor((1, draw(st.integers(1, 12)), draw(st.integers(1, 12)), few))
    name = x.name
    if few < 4:
        kernel = draw(st.sampled_from((3, 3, 5))) if few == 1 else 3
        x = b.window(x, 2 if few == 2 or kernel == 5 else 4, kernel, 1)
    for _ in range(draw(st.integers(1, 3))):
        channels = x.shape[-1]
        kernel = draw(st.sampled_from((3, 3, 4) if channels > 4 else (3, 4)))
        x = b.window(x, channels * draw(st.sampled_from((1, 1, 1, 2))), kernel, channels)
        tail = draw(st.sampled_from(("lookup", "product", "product", "block", "")))
        if tail == "product":
            x = b.window(x, draw(st.sampled_from((4, 8, 12, 16, 20, 24))), 1, 1)
        elif tail == "block":
            b.block(x)
        elif tail == "lookup":
            b.lookup(x)
        x = b.tensors[b.tasks[-1].output] if b.tasks else x
    if not b.tasks:
        b.lookup(x)
    return Graph("separable", b.tensors, tuple(b.tasks), (name,), (b.tasks[-1].output,))


@st.composite
def matrices(draw: st.DrawFn) -> Graph:
    """int16: products of matrices that are both computed, as in attention; one of them may be an
    input, pass a table, or serve twice."""
    b = _Builder(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw, bits=16)
    x = b.tensor((draw(st.integers(1, 9)), draw(st.integers(1, 12))))

    def made(width: int) -> Tensor:
        y = b.tensor((x.shape[0], width))
        multiplier, shift = b.scales(width, x.shape[1])
        shift = np.full_like(shift, shift[0])
        weights, bias = b.weights((width, x.shape[1])), b.bias(width)
        numbers = multiplier, shift, b.clamp(0)
        b.tasks.append(MatMul(b.name("matmul"), (x.name,), y.name, weights, bias, *numbers))
        if b.rng.random() < 0.3:
            b.lookup(y)
        return b.tensors[b.tasks[-1].output]

    def dot(left: Tensor, right: Tensor, transposed: bool) -> Tensor:
        y = b.tensor((left.shape[0], right.shape[0 if transposed else 1]))
        dropped = 15 + round(np.log2(left.shape[1]) / 2)
        numbers = INT16_MULTIPLIER, 1 - dropped, transposed, b.clamp(0)
        b.tasks.append(Dot(b.name("dot"), (left.name, right.name), y.name, *numbers))
        return y

    width = x.shape[1] if draw(st.booleans()) else draw(st.integers(1, 12))
    queries = made(width)
    keys = x if width == x.shape[1] and draw(st.booleans()) else made(width)
    scores = dot(queries, keys, True)
    if draw(st.booleans()):
        b.softmax(scores)
        scores = b.tensors[b.tasks[-1].output]
    values = keys if draw(st.integers(0, 3)) == 0 else made(draw(st.integers(1, 12)))
    dot(scores, values, False)
    used = {name for task in b.tasks for name in task.inputs}
    outputs = tuple(t.output for t in b.tasks if t.output not in used)
    return Graph("matrices", b.tensors, tuple(b.tasks), (x.name,), outputs)


def random_inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Data of any value for every input of ``graph``."""
    rng = np.random.default_rng(seed)
    tensors = [graph.tensors[name] for name in graph.inputs]
    return {
        t.name: rng.integers(t.limits[0], t.limits[1] + 1, t.shape).astype(t.dtype) for t in tensors
    }
