"""Config: the integers that determine an accelerator's circuit."""

from dataclasses import dataclass, field, replace

__all__ = [
    "CHANNELS",
    "CONSTANTS",
    "CORE_UNITS",
    "SHARED",
    "TENSORS",
    "Config",
    "Pattern",
    "bits_for",
    "fetchers",
    "numbered",
    "units",
]

CHANNELS = (1, 2)
"""How many AXI4 masters a machine may have."""

TENSORS, CONSTANTS = 0, -1
"""Which of the channels carries tensors, and which weights and biases: the first, and the last."""


CORE_UNITS = ("gather", "core", "epilogue")
"""The units of each core that step through a program."""


def numbered(name: str, index: int) -> str:
    """What ``name`` is called on the channel or core of that ``index``; on the first, just that."""
    return f"{name}{index}" if index else name


def fetchers(channels: int) -> tuple[str, ...]:
    """The fetch units, one per channel."""
    return tuple(numbered("fetch", channel) for channel in range(channels))


def units(channels: int, cores: int = 1) -> tuple[str, ...]:
    """The units that step through a program of their own: those of each core, then the others."""
    own = (numbered(name, core) for core in range(cores) for name in CORE_UNITS)
    return (*own, "send", *fetchers(channels))


def bits_for(count: int) -> int:
    """Width of an unsigned signal that counts or addresses ``count`` things, at least 1."""
    return max(1, (count - 1).bit_length())


@dataclass(frozen=True)
class Pattern:
    """Which elements of the last ``lines`` segments are the operands of each column.

    Columns belong to a pixel's ``channels``, ``outputs`` to each channel, pixel after pixel; the
    element at ``start`` is the first of pixel 0, ``pixel_step`` leads to the next pixel's, and
    channels lie side by side. Product ``i`` of a column takes tap ``i % taps`` of line
    ``i // taps``, taps lying ``tap_step`` elements apart; products beyond ``lines * taps`` have no
    operand. The oldest segment is line 0.
    """

    outputs: int
    pixel_step: int
    taps: int
    tap_step: int = 1
    lines: int = 1
    start: int = 0
    channels: int = 1

    def place(self, column: int, product: int) -> tuple[int, int] | None:
        """Line and element of a segment for ``product`` of ``column``, if it has an operand."""
        line, tap = divmod(product, self.taps)
        if line >= self.lines:
            return None
        pixel, channel = divmod(column // self.outputs, self.channels)
        return line, self.start + pixel * self.pixel_step + channel + tap * self.tap_step


SHARED = (
    *("word_bytes", "axi_bytes", "buffer_words", "element_bytes", "program_words", "token_bits"),
    *("links", "loadable", "streamed", "channels", "throttled", "core_count", "rings"),
)
"""The members of a :class:`Config` that all cores of a machine have in common."""


@dataclass(frozen=True)
class Config:
    """What an accelerator is built from; every member is a plain integer, flag or tuple of them.

    Parameters
    ----------
    rows, cols, depth
        Geometry of the array: ``rows`` pixels by ``cols`` output channels, each element a dot
        product of ``depth`` products a cycle.
    element_bytes
        Bytes of an activation, 1 or 2.
    accumulator_bits
        Width of the array's sums: enough that none ever wraps.
    lanes
        Outputs that the epilogue takes per cycle; divides ``cols``.
    word_bytes
        Bytes of a buffer word, a power of two.
    axi_bytes
        Data width of an AXI channel in bytes, a power of two up to ``word_bytes``.
    buffer_words
        Words of each on-chip buffer, a multiple of two each.
    patch_words
        Words of ``depth`` bytes in each row's patch ring, a power of two.
    weight_words, bias_words, scale_words, tables, exponents
        Depths of the constant memories: weight words of ``cols * depth`` weights, bias and scale
        words of ``lanes`` entries, lookup and exponential tables of 256 entries.
    softmax_groups
        Groups of ``lanes`` values in the longest softmax row; 0 builds no softmax unit.
    weight_bits
        8, or 9 where a model's weights have a zero point; 16 beside 16-bit activations.
    patterns, segment
        How columns may take operands of their own from segments of ``segment`` elements, see
        :class:`Pattern`; none by default. Needs ``rows`` 1 and ``lanes`` equal to ``cols``.
    doubled
        Whether segments may repeat each element, as nearest upsampling by two does.
    residual, maximum
        Whether the epilogue adds a second operand, and whether the array can take maxima.
    multiply
        Whether the second operand may also multiply; of int16 only.
    pool
        Groups of the longest row of which the epilogue can take maxima of 2 by 2 pixels, of int16
        only; 0 builds no unit for it.
    even
        Whether the epilogue can round halves to even, in one step.
    rings
        Whether tensors may lie in rings of a few rows.
    product_words, product_latency
        Where an unrolled product does the array's work: the words of ``depth`` elements that it
        takes, and its latency in cycles. No words where there is an array.
    program_words
        Depth of each unit's schedule memory when it is RAM; also bounds the tokens.
    token_bits
        Width of the progress counters.
    links
        Pairs ``(port, buffer)`` that the crossbar connects; ports are named in
        :mod:`rtl.crossbar`. Empty means all.
    loadable
        True: schedule and constant memories are RAM, written through the AXI4-Lite port.
    streamed
        Whether a fetch unit can write weights and biases.
    channels
        AXI4 masters, of :data:`CHANNELS`. The first carries tensors in and out, the last weights
        and biases.
    throttled
        Adds a ``throttle`` input that holds internal streams, for benches.
    core_count
        Cores of the machine, each with units, a geometry and constants of its own.
    others
        The other cores, as the first one of several knows them. Whatever :data:`SHARED` names is
        the same in all.
    """

    rows: int
    cols: int
    depth: int
    lanes: int
    word_bytes: int
    axi_bytes: int
    buffer_words: tuple[int, ...]
    patch_words: int
    weight_words: int
    bias_words: int
    scale_words: int
    tables: int = 0
    exponents: int = 0
    softmax_groups: int = 0
    weight_bits: int = 8
    element_bytes: int = 1
    accumulator_bits: int = 32
    patterns: tuple[Pattern, ...] = ()
    segment: int = 0
    doubled: bool = False
    residual: bool = True
    maximum: bool = True
    multiply: bool = False
    pool: int = 0
    even: bool = True
    rings: bool = False
    product_words: int = 0
    product_latency: int = 0
    program_words: int = 64
    token_bits: int = 24
    links: tuple[tuple[str, int], ...] = field(default=())
    loadable: bool = True
    streamed: bool = True
    channels: int = 1
    throttled: bool = False
    core_count: int = 1
    others: tuple["Config", ...] = ()

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "depth", "lanes", "bias_words", "scale_words"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.cols % self.lanes:
            raise ValueError(f"lanes must divide cols ({self.cols}), not {self.lanes}")
        for name in ("word_bytes", "axi_bytes", "patch_words"):
            value = getattr(self, name)
            if value < 4 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two of at least 4, not {value}")
        if self.axi_bytes > self.word_bytes:
            raise ValueError(f"axi_bytes must be at most word_bytes, not {self.axi_bytes}")
        if not self.buffer_words or any(n < 2 or n % 2 for n in self.buffer_words):
            raise ValueError(f"buffer_words must be even and positive, not {self.buffer_words}")
        if self.element_bytes not in (1, 2):
            raise ValueError(f"element_bytes must be 1 or 2, not {self.element_bytes}")
        if self.lanes * self.element_bytes > self.word_bytes:
            raise ValueError(f"lanes must be at most word_bytes / element_bytes, not {self.lanes}")
        if self.weight_bits not in (8, 9, 16):
            raise ValueError(f"weight_bits must be 8, 9 or 16, not {self.weight_bits}")
        if self.patterns and (self.rows != 1 or self.lanes != self.cols):
            raise ValueError("patterns need rows to be 1 and lanes to equal cols")
        if self.product_words and (self.rows != 1 or self.patterns):
            raise ValueError("an unrolled product needs rows to be 1 and no patterns")
        if self.channels not in CHANNELS:
            raise ValueError(f"channels must be one of {CHANNELS}, not {self.channels}")
        if self.channels > 1 and not self.streamed:
            raise ValueError(f"channels must be 1 where weights stay, not {self.channels}")
        if self.others and self.core_count != 1 + len(self.others):
            raise ValueError(f"core_count must be {1 + len(self.others)}, not {self.core_count}")
        for other in self.others:
            for name in SHARED:
                if getattr(other, name) != getattr(self, name):
                    raise ValueError(f"{name} must be the same in all cores")

    def shared(self, **changes) -> "Config":
        """With members of :data:`SHARED` changed, in all cores."""
        return replace(self, others=tuple(replace(o, **changes) for o in self.others), **changes)

    @property
    def cores(self) -> tuple["Config", ...]:
        """Every core's sizes, those of this one first."""
        return (self, *self.others)

    @property
    def multipliers(self) -> int:
        """Products in the arrays."""
        arrays = (core for core in self.cores if not core.product_words)
        return sum(core.rows * core.cols * core.depth for core in arrays)

    @property
    def weight_word_bits(self) -> int:
        """Width of a weight word; 1 where weights are the circuit and nothing reads it."""
        return 1 if self.product_words else self.weight_bits * self.cols * self.depth

    @property
    def fetchers(self) -> tuple[str, ...]:
        """The fetch units, one per channel."""
        return fetchers(self.channels)

    @property
    def units(self) -> tuple[str, ...]:
        """The units that step through a program of their own."""
        return units(self.channels, self.core_count)

    @property
    def groups(self) -> int:
        """Column groups of ``lanes`` columns."""
        return self.cols // self.lanes

    @property
    def element_bits(self) -> int:
        return 8 * self.element_bytes

    @property
    def window(self) -> int:
        """Most bytes of a patch that the gather unit takes from a buffer per cycle."""
        return min(self.word_bytes, self.element_bytes * (self.depth + 1))

    @property
    def reach(self) -> int:
        """Most bytes of a patch or a segment that the gather unit takes per cycle."""
        return max(self.window, min(self.word_bytes, self.element_bytes * self.segment))

    @property
    def address_bits(self) -> int:
        """Width of a byte address inside a buffer."""
        return bits_for(max(self.buffer_words) * self.word_bytes)

    @property
    def buffer_bits(self) -> int:
        return bits_for(len(self.buffer_words))

    @property
    def results(self) -> int:
        """Depth of the queue of accumulator groups between the array and the epilogue. Segments
        make a group a cycle, also while the epilogue still works on another word."""
        least = 32 if self.patterns else 16
        return max(least, 1 << (2 * self.rows * self.groups - 1).bit_length())

    def linked(self, port: str) -> tuple[int, ...]:
        """The buffers that ``port`` reaches."""
        every = range(len(self.buffer_words))
        return tuple(b for b in every if not self.links or (port, b) in self.links)
