"""Random small graphs of every operator that the hardware knows, for property tests.

Built on Graph directly: no file format and no frontend is in the way. Weights and scales are seeded
by hypothesis, so that a failure shrinks and repeats.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from gen.graph import (
    Add,
    Concat,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Pool,
    Reshape,
    Slice,
    Softmax,
    Task,
    Tensor,
    Transpose,
)

__all__ = ["graphs", "random_inputs", "skips"]

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


@dataclass
class _Builder:
    rng: np.random.Generator
    draw: st.DrawFn
    tensors: dict[str, Tensor] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    wide: bool = False

    def tensor(self, shape: tuple[int, ...]) -> Tensor:
        name = f"t{len(self.tensors)}"
        zero = int(self.rng.integers(-128, 128))
        self.tensors[name] = Tensor(name, shape, 0.1, zero)
        return self.tensors[name]

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.tasks)}"

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def scales(self, count: int, reduction: int) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers and shifts under which sums of ``reduction`` products spread over int8."""
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
        return bool(self.rng.random() < 0.5)

    def clamp(self, zero: int) -> tuple[int, int]:
        return (zero, 127) if self.rng.random() < 0.4 and zero < 127 else (-128, 127)

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
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
                self.rng.integers(-2000, 2000, outputs).astype(np.int32),
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

    def block(self, x: Tensor) -> None:
        """One or two convolutions that keep the shape, and the addition of their input."""
        c = x.shape[-1]
        last, even = x, self.even()
        for _ in range(self.integer(1, 2)):
            k = self.draw(st.sampled_from((1, 3)))
            y = self.tensor(x.shape)
            multiplier, shift = self.scales(c, k * k * c)
            weights = self.weights((c, k, k, c))
            bias = self.rng.integers(-2000, 2000, c).astype(np.int32)
            padding = (k // 2,) * 4
            self.tasks.append(
                Conv(self.name("conv"), (last.name,), y.name, weights, bias, multiplier, shift,
                     padding=padding, even=even)
            )  # fmt: skip
            last = y
        self.add(last, [x], even)

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
                self.rng.integers(-2000, 2000, outputs).astype(np.int32),
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
        y = Tensor(f"t{len(self.tensors)}", (1, oh, ow, c), x.scale, x.zero_point)
        self.tensors[y.name] = y
        padding = (top, bottom, left, right)
        task = Pool(self.name(mode), (x.name,), y.name, mode, kernel, stride, padding)
        self.tasks.append(replace(task, even=self.even()))

    def add(self, x: Tensor, others: list[Tensor], even: bool | None = None) -> None:
        matching = [t for t in others if t.shape == x.shape]
        other = self.draw(st.sampled_from(matching))
        y = self.tensor(x.shape)
        pairs = []
        for low, high in ((0.3, 1.0), (0.3, 1.0), (2.0**-21, 2.0**-19)):
            fraction, exponent = np.frexp(self.rng.uniform(low, high) * 0.999)
            pairs.append((int(fraction * (1 << 31)), int(exponent)))
        even = self.even() if even is None else even
        operands, clamp = (x.name, other.name), self.clamp(y.zero_point)
        self.tasks.append(Add(self.name("add"), operands, y.name, *pairs, clamp, even))

    def same(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        y = Tensor(f"t{len(self.tensors)}", shape, x.scale, x.zero_point)
        self.tensors[y.name] = y
        return y

    def lookup(self, x: Tensor) -> None:
        y = self.tensor(x.shape)
        table = self.rng.integers(-128, 128, 256).astype(np.int8)
        self.tasks.append(Lookup(self.name("lookup"), (x.name,), y.name, "random", table))

    def softmax(self, x: Tensor) -> None:
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

        fits = [t for t in others if len(t.shape) == 4 and rest(t) == rest(x)]
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
        elif kind in ("add", "concat"):
            getattr(self, kind)(x, live)
        else:
            getattr(self, kind)(x)


@st.composite
def graphs(draw: st.DrawFn, *, wide: bool = False, most: int = 5) -> Graph:
    """A graph of up to ``most`` steps on one input; ``wide`` allows weights with a zero point."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    b = _Builder(rng, draw, wide=wide)
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
            kind = draw(st.sampled_from(KINDS))
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
def skips(draw: st.DrawFn, *, size: int) -> Graph:
    """Equal tensors of up to ``size`` bytes each, four of which are alive at once: the first has to
    leave where memory holds three."""
    b = _Builder(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw)
    w, c = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    h = max(1, size // (w * c))
    x = b.tensor((1, h, w, c))
    b.lookup(x)
    early = b.tensors[b.tasks[-1].output]
    b.lookup(early)
    for _ in range(draw(st.integers(1, 2))):
        second = b.tensors[b.tasks[-1].output]
        b.block(second)
        b.block(b.tensors[b.tasks[-1].output])
    b.add(b.tensors[b.tasks[-1].output], [early])
    tail = draw(st.sampled_from(("", "softmax", "maxpool", "averagepool")))
    if tail:
        b.step(tail, b.tensors[b.tasks[-1].output], [])
    return Graph("skips", b.tensors, tuple(b.tasks), (x.name,), (b.tasks[-1].output,))


def random_inputs(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Int8 data for every input of ``graph``."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(-128, 128, graph.tensors[name].shape).astype(np.int8)
        for name in graph.inputs
    }
