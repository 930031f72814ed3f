"""Packer: gathered beats become whole words in the patch ring."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .gather import beat_layout, tag_layout

__all__ = ["Packer"]


class Packer(wiring.Component):
    """Pads beats, joins them end to end and writes words of ``depth`` bytes to the patch ring.

    The pixels of a tile lie one per array row, at the same word addresses of each row's memory. A
    pixel's last word is completed by whatever is there; its weights are zero. Even and odd words
    lie in separate banks, for a beat may complete two. Beats of a segment are joined to one, which
    takes a position of the ring in a memory of its own.

    A beat's words are written :attr:`LATENCY` cycles after the beat, and counted by ``written`` in
    that same cycle.

    Members
    -------
    valid, beat, bytes : a beat and its buffer data, byte 0 lowest
    written : ring position up to which all rows of every tile are complete, modulo twice the ring
    room : free words of the ring, :attr:`ROOM_LATENCY` cycles after they were released
    claim : words that the gather unit takes now
    released : ring position up to which the array has read, modulo twice the ring
    row_enable : per row, per bank write enables
    bank_address, bank_data : what both banks write
    segment_enable, segment_address, segment_data, segment_tag : a segment, where there are patterns
    """

    valid: Signal
    beat: data.View
    bytes: Signal
    written: Signal
    room: Signal
    claim: Signal
    released: Signal
    row_enable: data.View
    bank_address: data.View
    bank_data: data.View
    segment_enable: Signal
    segment_address: Signal
    segment_data: Signal
    segment_tag: Signal

    LATENCY = 2
    ROOM_LATENCY = 2

    def __init__(self, config: Config):
        self._config = config
        pointer = bits_for(2 * config.patch_words)
        segments: dict = {}
        if config.patterns:
            segments = {
                "segment_enable": Out(1),
                "segment_address": Out(bits_for(config.patch_words)),
                "segment_data": Out(config.element_bits * config.segment),
                "segment_tag": Out(tag_layout(config).size),
            }
        super().__init__(
            segments
            | {
                "valid": In(1),
                "beat": In(beat_layout(config)),
                "bytes": In(8 * config.reach),
                "written": Out(pointer),
                "room": Out(bits_for(config.patch_words + 1)),
                "claim": In(bits_for(config.patch_words + 1)),
                "released": In(pointer),
                "row_enable": Out(data.ArrayLayout(2, config.rows)),
                "bank_address": Out(data.ArrayLayout(bits_for(config.patch_words // 2), 2)),
                "bank_data": Out(data.ArrayLayout(config.element_bits * config.depth, 2)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        depth, window, unit = (
            config.element_bytes * config.depth,
            config.window,
            config.element_bytes,
        )
        pointer = len(self.written)

        room = Signal.like(self.room, init=config.patch_words)
        before, freed = Signal(pointer), Signal(pointer)
        m.d.sync += [
            before.eq(self.released),
            freed.eq(self.released - before),
            room.eq(room + freed - self.claim),
        ]
        m.d.comb += self.room.eq(room)

        # Edges of padding lie between elements.
        padded = Signal(8 * config.reach, reset_less=True)
        valid = Signal()
        beat = Signal(beat_layout(config), reset_less=True)
        m.d.sync += [valid.eq(self.valid), beat.eq(self.beat)]
        for i in range(0, config.reach, unit):
            element = self.bytes[8 * i : 8 * (i + unit)]
            genuine = (i >= self.beat.low) & (i < self.beat.high)
            filler = Mux(i < self.beat.count, self.beat.pad, 0)
            m.d.sync += padded[8 * i : 8 * (i + unit)].eq(Mux(genuine, element, filler))

        # `fill` bytes are held back from earlier beats; together they never exceed two words. How
        # many words a beat completes is worked out while its padding is.
        fill = Signal(range(depth))
        total = Signal(range(2 * depth + 1))
        full = Signal(range(3))
        flush = self.beat.flush
        both = total == 2 * depth
        begins = flush & (total != depth) & ~both
        m.d.comb += [
            total.eq(fill + self.beat.count),
            full.eq(Mux(both, 2, Mux(total >= depth, 1, 0)) + begins),
        ]
        packs = self.valid & ~self.beat.segment if config.patterns else self.valid
        with m.If(packs):
            m.d.sync += fill.eq(total)
            for count in range(1, 3):
                with m.If(full == count):
                    m.d.sync += fill.eq(total - count * depth)
            with m.If(flush):
                m.d.sync += fill.eq(0)
        packed = Signal()
        filled, completes = Signal.like(fill), Signal.like(full)
        m.d.sync += [packed.eq(packs), filled.eq(fill), completes.eq(full)]

        held = Signal(8 * max(1, depth - 1))
        joined = Signal(16 * depth)
        m.d.comb += joined.eq(held | (padded[: 8 * window] << (filled << 3)))
        # The word where this pixel started, and the word that the next byte belongs to.
        start = Signal(pointer)
        word = Signal(pointer)
        onward = Signal(pointer)
        further = Mux(completes == 2, word + 2, Mux(completes == 1, word + 1, word))
        m.d.comb += onward.eq(further)
        odd = word[0]
        enable = Signal(2)
        m.d.comb += enable.eq(Mux(completes == 2, 3, Mux(completes == 1, Mux(odd, 2, 1), 0)))
        words = Array([joined[: 8 * depth], joined[8 * depth :]])
        half = word[1 : len(self.bank_address[0]) + 1]
        for r in range(config.rows):
            m.d.sync += self.row_enable[r].eq(Mux(packed & (beat.row == r), enable, 0))
        m.d.sync += [
            self.bank_address[0].eq(half + odd),
            self.bank_address[1].eq(half),
            self.bank_data[0].eq(words[odd]),
            self.bank_data[1].eq(words[~odd]),
        ]
        published = Signal(pointer)
        m.d.comb += self.written.eq(published)
        if config.patterns:
            with m.If(valid & beat.segment & beat.ends):
                m.d.sync += [word.eq(word + 1), start.eq(word + 1), published.eq(word + 1)]
            self._join(m, valid, beat, padded, word)
        with m.If(packed):
            m.d.sync += word.eq(onward)
            with m.If(beat.last):
                with m.If(beat.publish):
                    m.d.sync += start.eq(onward)
                with m.Else():
                    m.d.sync += word.eq(start)
            for count in range(3):
                with m.If(completes == count):
                    m.d.sync += held.eq(joined[8 * depth * count :])
            with m.If(beat.flush):
                m.d.sync += held.eq(0)
            # Words of a tile are complete once the last of its pixels has written them.
            with m.If(beat.publish):
                m.d.sync += published.eq(onward)
        return m

    def _join(self, m: Module, valid, beat, padded, word) -> None:
        """Beats of a segment side by side; doubled, each element twice but the first."""
        config = self._config
        size, bits = config.segment, config.element_bits
        before = Signal(bits * size)
        place = Signal(range(size * config.element_bytes + 1))
        joined = Signal(bits * size)
        m.d.comb += joined.eq(before | (padded << (place << 3)))
        with m.If(valid & beat.segment):
            m.d.sync += [before.eq(joined), place.eq(place + beat.count)]
            with m.If(beat.ends):
                m.d.sync += [before.eq(0), place.eq(0)]
        twice = Cat(joined.word_select((i + 1) >> 1, bits) for i in range(size))
        m.d.sync += [
            self.segment_enable.eq(valid & beat.segment & beat.ends),
            self.segment_address.eq(word),
            self.segment_data.eq(Mux(beat.doubled, twice, joined) if config.doubled else joined),
            self.segment_tag.eq(beat.tag),
        ]
