"""The fields of each unit's schedule words.

A field is as wide as a machine's sizes demand; :func:`narrowed` shrinks it to the values that a
program holds, and a field with one value becomes a constant in the circuit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from amaranth import Cat, Const, Shape, Value, signed, unsigned

from .config import CORE_UNITS, Config, bits_for, numbered

__all__ = ["Field", "Fields", "narrowed", "word_fields"]


@dataclass(frozen=True)
class Field:
    """One field: its width in bits, whether it is signed, its value where it is constant."""

    width: int
    signed: bool = False
    constant: int | None = None

    @property
    def shape(self) -> Shape:
        return signed(self.width) if self.signed else unsigned(self.width)

    def admits(self, value: int) -> bool:
        if self.constant is not None:
            return value == self.constant
        low = -(1 << (self.width - 1)) if self.signed else 0
        return low <= value < low + (1 << self.width)


class Fields(dict[str, Field]):
    """The fields of one kind of word, in order from the least significant bit."""

    @property
    def width(self) -> int:
        """Stored bits of a word; constants take none. At least 1."""
        return max(1, sum(self.widths))

    @property
    def widths(self) -> tuple[int, ...]:
        """Stored bits of each field that is no constant, the least significant first."""
        return tuple(f.width for f in self.values() if f.constant is None)

    def pack(self, word: Mapping[str, int]) -> int:
        """The stored bits of ``word``, a value per field.

        Raises
        ------
        ValueError
            If a field is missing or does not admit its value.
        """
        bits, at = 0, 0
        for name, f in self.items():
            if name not in word or not f.admits(word[name]):
                raise ValueError(f"field {name} of {f} must admit its value, not {word.get(name)}")
            if f.constant is None:
                bits |= (word[name] & ((1 << f.width) - 1)) << at
                at += f.width
        return bits

    def view(self, stored: Value) -> SimpleNamespace:
        """A namespace of values, one per field, of the stored bits."""
        values, at = {}, 0
        for name, f in self.items():
            if f.constant is not None:
                values[name] = Const(f.constant, f.shape)
            else:
                part = stored[at : at + f.width]
                values[name] = part.as_signed() if f.signed else part
                at += f.width
        return SimpleNamespace(**values)

    def select(self, values: SimpleNamespace) -> Value:
        """The stored bits of these fields, of a view that has them among others."""
        stored = [getattr(values, name) for name, f in self.items() if f.constant is None]
        return Cat(stored) if stored else Const(0)


def narrowed(fields: Fields, words: Iterable[Mapping[str, int]]) -> Fields:
    """``fields`` shrunk to the values that occur in ``words``; a single value becomes constant."""
    words = list(words)
    result = Fields()
    for name in fields:
        values = {word[name] for word in words} or {0}
        low, high = min(values), max(values)
        width = max(max(high, ~low).bit_length() + 1 if low < 0 else high.bit_length(), 1)
        constant = low if low == high else None
        result[name] = Field(width, low < 0, constant)
    return result


def _values8(config: Config) -> Fields:
    """How the epilogue makes int8 of sums."""
    byte, multiplier, shift = Field(8, signed=True), Field(31), Field(5)
    return Fields(
        scale=Field(bits_for(config.scale_words)),
        scale_step=Field(1),
        zero=byte,
        low=byte,
        high=byte,
        even=Field(1),
        zero_a=byte,
        multiplier_a=multiplier,
        shift_a=shift,
        zero_b=byte,
        multiplier_b=multiplier,
        shift_b=shift,
        multiplier_out=multiplier,
        shift_out=shift,
        zero_out=byte,
        low_out=byte,
        high_out=byte,
        exponents=Field(bits_for(max(1, config.exponents))),
    )


def _values16(config: Config) -> Fields:
    """How the epilogue makes int16 of sums."""
    value, shift = Field(16, signed=True), Field(6)
    return Fields(
        shift=shift,
        low=value,
        high=value,
        multiply=Field(1),
        shift_out=shift,
        low_out=value,
        high_out=value,
        pool=Field(1),
        pool_row=Field(bits_for(max(1, config.pool))),
        fraction_bits=Field(4),
    )


def word_fields(config: Config) -> dict[str, Fields]:
    """The fields of each unit's words, as wide as ``config`` can use."""
    fields = _transfer_fields(config)
    for index, core in enumerate(config.cores):
        own = _core_fields(core)
        fields |= {numbered(name, index): own[name] for name in CORE_UNITS}
    return {unit: fields[unit] for unit in config.units}


def _counters(config: Config, *names: str) -> dict[str, Field]:
    """A token for each core's progress counters of those names."""
    cores = range(config.core_count)
    return {numbered(name, c): Field(config.token_bits) for name in names for c in cores}


def _transfer_fields(config: Config) -> dict[str, Fields]:
    """Of the units that all cores share."""
    buffer, token, beats = Field(config.buffer_bits), Field(config.token_bits), Field(24)
    address = Field(config.address_bits)
    fetch = Fields(
        region=Field(2),
        offset=Field(32),
        beats=beats,
        target=Field(2),
        core=Field(bits_for(config.core_count)),
        buffer=buffer,
        address=Field(
            max(
                config.address_bits,
                *(bits_for(max(core.weight_words, core.bias_words)) for core in config.cores),
            )
        ),
        sent=token,
        **_counters(config, "gathered", "passed", "stored"),
    )
    send = Fields(
        region=Field(2),
        offset=Field(32),
        beats=beats,
        buffer=buffer,
        address=address,
        producer=Field(bits_for(config.core_count)),
        stored=token,
    )
    return {"send": send, **dict.fromkeys(config.fetchers, fetch)}


def _ring(config: Config, of: str = "") -> dict[str, Field]:
    """Where rows lie in a ring, its bytes and how far behind the first address it begins again."""
    size = Field(config.address_bits + 1)
    return {f"{of}ring": size, f"{of}wrap": size} if config.rings else {}


def _core_fields(config: Config) -> dict[str, Fields]:
    """Of the units of one core."""
    buffer = Field(config.buffer_bits)
    address = Field(config.address_bits)
    step = Field(config.address_bits + 1, signed=True)
    size = Field(config.address_bits)
    count = Field(16)
    token = Field(config.token_bits)
    element = Field(config.element_bits, signed=True)
    pass_words = Field(bits_for(config.patch_words))
    burst = Field(bits_for(config.rows * config.groups + 1))
    group = Field(bits_for(config.groups))
    row = Field(bits_for(config.rows))

    gather = Fields(
        # where: source buffer, address of the first tap of the first pixel, then steps
        buffer=buffer,
        address=address,
        tap_step=step,
        line_step=step,
        pixel_step=step,
        row_step=step,
        **_ring(config),
        # loops, each a count less one; a run is contiguous bytes
        run=size,
        taps=count,
        lines=count,
        pixels=count,
        rows=count,
        # what lies inside the tensor: byte position in the row, row index
        position=step,
        width=Field(config.address_bits + 1),
        line=Field(16, signed=True),
        line_stride=Field(8),
        row_stride=Field(8),
        height=Field(16),
        pad=element,
        words=pass_words,
        align=Field(1),
        # the whole is read again, so many times less one, each time further on by a step
        repeats=count,
        repeat_step=step,
        # a segment per line: from line `warm` on, each `every`-th one makes outputs
        segments=Field(1),
        warm=Field(4),
        every=Field(4),
        skip=Field(1),
        doubled=Field(1),
        line_weight=Field(4),
        # tokens: all rows wait for `start` stored groups; a row waits for the source's progress
        start=token,
        producer=Field(bits_for(config.core_count + 1)),
        need=token,
        line_need=token,
        row_need=token,
        limit=token,
    )
    core = Fields(
        words=pass_words,
        passes=count,
        tiles=Field(20),
        weight=Field(bits_for(config.weight_words)),
        weight_step=Field(1),
        around=count,
        stationary=Field(1),
        segments=Field(1),
        pattern=Field(bits_for(len(config.patterns))),
        patterns=Field(bits_for(len(config.patterns))),
        maximum=Field(1),
        need=token,
        pass_need=token,
        burst=burst,
        burst_last_pass=burst,
        burst_last_tile=burst,
        burst_last=burst,
        groups_last=group,
    )
    epilogue = Fields(
        passes=count,
        tiles=Field(20),
        rows_last=row,
        groups_last=group,
        tail=Field(bits_for(config.lanes)),
        edge=Field(2),
        stationary=Field(1),
        channel_step=step,
        pass_step=step,
        lines=count,
        bias=Field(bits_for(config.bias_words)),
        bias_step=Field(1),
        table_on=Field(1),
        table=Field(bits_for(max(1, config.tables))),
        add=Field(1),
        residual_buffer=buffer,
        residual_address=address,
        residual_pixel=step,
        residual_row=step,
        **_ring(config, "residual_"),
        softmax=Field(1),
        row_groups=Field(bits_for(max(2, config.softmax_groups))),
        buffer=buffer,
        address=address,
        pixel=step,
        row=step,
        pixels=count,
        **_ring(config),
        # tokens: transfers sent, beats of each channel, groups of each core, and of several cores
        # the words that each has gathered
        sent=token,
        **{numbered("fetched", channel): token for channel in range(config.channels)},
        **(_values16(config) if config.element_bytes == 2 else _values8(config)),
        **_counters(config, "stored", *(["gathered"] if config.core_count > 1 else [])),
    )
    return {"gather": gather, "core": core, "epilogue": epilogue}
