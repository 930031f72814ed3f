"""Gather: the affine address generator that turns convolution windows into contiguous patches."""

from amaranth import Array as Choice
from amaranth import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .words import Fields

__all__ = ["Gather", "beat_layout", "tag_layout"]


def beat_layout(config: Config) -> data.StructLayout:
    """What the packer must know of a beat that is under way from the buffers.

    ``count`` bytes belong to the patch, those in [``low``, ``high``) come from the buffer and the
    others are ``pad``. ``flush`` ends a patch word, ``last`` a pixel; ``publish`` marks the beats
    of the tile's last pixel, ``row`` is the array row that takes the pixel. Where the machine has
    patterns, ``segment`` says that the beat belongs to a segment, which ``ends`` with it, and
    ``tag`` what the core must know of the segment, see :func:`tag_layout`.
    """
    size = bits_for(config.reach + 1)
    members = {
        "count": size,
        "low": size,
        "high": size,
        "pad": config.element_bits,
        "flush": 1,
        "last": 1,
        "publish": 1,
        "row": bits_for(config.rows),
    }
    if config.patterns:
        members |= {"segment": 1, "ends": 1, "doubled": 1, "tag": tag_layout(config).size}
    return data.StructLayout(members)


def tag_layout(config: Config) -> data.StructLayout:
    """What the core must know of a segment: whether steps follow from it, whether they begin and
    end a sum, and the first step's place among the pass's weight words."""
    return data.StructLayout(
        {"steps": 1, "first": 1, "last": 1, "weight": bits_for(config.weight_words)}
    )


class Gather(wiring.Component):
    """Reads the bytes under each output pixel's window, a beat of up to ``window`` bytes a cycle.

    A word describes five nested loops: rows and pixels of the output, lines and taps of the
    window, beats of a run of contiguous bytes. Bytes left or right of the tensor (by their position
    in the row) and lines above or below it are replaced by the word's ``pad``, so padding costs no
    memory. A beat waits until the progress counter of its source shows its row written, and until
    the patch ring has room for its whole tile. The whole may be repeated.

    Where the tensor lies in a ``ring`` of so many bytes, the row that follows one ``wrap`` or more
    bytes behind the first lies that much further ahead.

    In a word with ``segments``, each line makes a segment of its own, and the ring has room for it.
    ``doubled`` reads every line twice, as if the tensor had twice the rows; ``skip`` leaves out
    lines that lie above or below the tensor, at a cycle each.

    One beat per cycle, none between words; the reading has no latency of its own.

    Parameters
    ----------
    core
        Which of the machine's cores it belongs to.

    Members
    -------
    i : stream of words
    request : stream of buffer reads; ``beat`` accompanies each accepted one
    stored, fetched : progress counters of each core's epilogue and of the fetch unit
    room : free words in the patch ring
    claim : words taken from the ring in this cycle
    gathered : progress counter, words of the program finished
    """

    i: stream.Interface
    request: stream.Interface
    beat: data.View
    stored: data.View
    fetched: Signal
    room: Signal
    claim: Signal
    gathered: Signal
    clear: Signal
    hold: Signal

    def __init__(self, config: Config, fields: Fields, *, core: int = 0):
        self._config, self._fields, self._core = config, fields, core
        token = config.token_bits
        super().__init__(
            {
                "i": In(stream.Signature(fields.width)),
                "request": Out(
                    stream.Signature(
                        data.StructLayout(
                            {"buffer": config.buffer_bits, "address": config.address_bits}
                        )
                    )
                ),
                "beat": Out(beat_layout(config)),
                "stored": In(data.ArrayLayout(token, config.core_count)),
                "fetched": In(token),
                "room": In(bits_for(config.patch_words + 1)),
                "claim": Out(bits_for(config.patch_words + 1)),
                "gathered": Out(token),
                "clear": In(1),
                "hold": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        w = self._fields.view(self.i.payload)
        window = Mux(w.segments, config.reach, config.window) if config.patterns else config.window
        span = config.address_bits + 2

        # Positions relative to the word's own bases, one register per loop.
        run = Signal(config.address_bits)
        tap, line, pixel, row = (Signal(16, name=n) for n in ("tap", "line", "pixel", "row"))
        lane = Signal(range(config.rows))
        pixel_at = Signal(signed(span))
        tap_at = Signal(signed(span))
        row_address = Signal(signed(span))
        line_address = Signal(signed(span))
        row_y = Signal(signed(18))
        line_y = Signal(signed(18))
        row_need = Signal(config.token_bits)
        line_need = Signal(config.token_bits)

        repeat = Signal(16)
        repeat_at = Signal(signed(span))
        left = Signal(signed(span))
        count = Signal(range(config.reach + 1))
        position = Signal(signed(span))
        end = Signal(signed(span))
        y = Signal(signed(19))
        inside = Signal()
        m.d.comb += [
            left.eq(w.run - run),
            count.eq(Mux(left < window, left, window)),
            position.eq(w.position + tap_at + run),
            end.eq(w.width - position),
            y.eq((w.line + line_y) >> w.doubled if config.doubled else w.line + line_y),
            inside.eq((y >= 0) & (y < w.height)),
            self.request.payload.buffer.eq(w.buffer),
            self.request.payload.address.eq(w.address + repeat_at + line_address + tap_at + run),
        ]
        # A line read for the first of two times stays where it is.
        stays = w.doubled & ~(w.line + line_y)[0] if config.doubled else Const(0)
        low = Signal(range(config.reach + 1))
        high = Signal(range(config.reach + 1))
        with m.If(position < 0):
            m.d.comb += low.eq(Mux(-position < count, -position, count))
        with m.If(inside & (end > 0)):
            m.d.comb += high.eq(Mux(end < count, end, count))

        skips = w.segments & w.skip & ~inside if config.patterns else Const(0)
        last_run = left <= window
        last_tap = (last_run & (tap == w.taps)) | skips
        last_line = last_tap & (line == w.lines)
        last_pixel = last_line & (pixel == w.pixels)
        last_row = last_pixel & (row == w.rows)
        last = last_row & (repeat == w.repeats)
        final_pixel = (pixel == w.pixels) & (row == w.rows)
        publish = final_pixel | (lane == config.rows - 1)
        m.d.comb += [
            self.beat.count.eq(count),
            self.beat.low.eq(low),
            self.beat.high.eq(high),
            self.beat.pad.eq(w.pad),
            self.beat.flush.eq(last_line | (last_run & w.align)),
            self.beat.last.eq(last_line),
            self.beat.publish.eq(publish),
            self.beat.row.eq(lane),
        ]

        progress = Signal(config.token_bits)
        need = Signal(config.token_bits)
        opens = Signal()
        m.d.comb += [
            progress.eq(Choice([*self.stored, self.fetched])[w.producer]),
            need.eq(w.need + line_need),
            opens.eq((lane == 0) & ((line == 0) | w.segments) & (tap == 0) & (run == 0)),
        ]
        words = Signal(bits_for(config.patch_words + 1))
        m.d.comb += words.eq(Mux(w.segments, 1, w.words + 1))
        ready = Signal()
        m.d.comb += [
            ready.eq(
                (self.stored[self._core] >= w.start)
                & (~inside | (progress >= Mux(need < w.limit, need, w.limit)))
                & (~opens | (self.room >= words))
                & ~self.hold
            ),
            self.request.valid.eq(self.i.valid & ready & ~skips),
        ]
        step = Signal()
        taken = Signal()
        m.d.comb += [
            taken.eq(self.request.valid & self.request.ready),
            step.eq(taken | (self.i.valid & skips)),
            self.claim.eq(Mux(taken & opens, words, 0)),
            self.i.ready.eq(step & last),
        ]
        next_line = self._onward(w, line_address, w.line_step)
        next_row = self._onward(w, row_address, w.row_step)
        if config.patterns:
            self._tag(m, w, line, step & last_tap, step & last_line, inside, y)
        with m.If(step):
            m.d.sync += run.eq(run + window)
            with m.If(last_run):
                m.d.sync += [run.eq(0), tap.eq(tap + 1), tap_at.eq(tap_at + w.tap_step)]
            with m.If(last_tap):
                m.d.sync += [
                    run.eq(0),
                    tap.eq(0),
                    tap_at.eq(pixel_at),
                    line.eq(line + 1),
                    line_y.eq(line_y + w.line_stride),
                ]
                with m.If(~stays):
                    m.d.sync += [
                        line_address.eq(next_line),
                        line_need.eq(line_need + w.line_need),
                    ]
            with m.If(last_line):
                m.d.sync += [
                    line.eq(0),
                    line_address.eq(row_address),
                    line_y.eq(row_y),
                    line_need.eq(row_need),
                    pixel.eq(pixel + 1),
                    pixel_at.eq(pixel_at + w.pixel_step),
                    tap_at.eq(pixel_at + w.pixel_step),
                    lane.eq(Mux(lane == config.rows - 1, 0, lane + 1)),
                ]
            with m.If(last_pixel):
                m.d.sync += [
                    pixel.eq(0),
                    pixel_at.eq(0),
                    tap_at.eq(0),
                    row.eq(row + 1),
                    row_address.eq(next_row),
                    line_address.eq(next_row),
                    row_y.eq(row_y + w.row_stride),
                    line_y.eq(row_y + w.row_stride),
                    row_need.eq(row_need + w.row_need),
                    line_need.eq(row_need + w.row_need),
                ]
            with m.If(last_row):
                ended = (row, lane, row_address, line_address, row_y, line_y, row_need, line_need)
                m.d.sync += [s.eq(0) for s in ended]
                m.d.sync += [repeat.eq(repeat + 1), repeat_at.eq(repeat_at + w.repeat_step)]
            with m.If(last):
                m.d.sync += [repeat.eq(0), repeat_at.eq(0), self.gathered.eq(self.gathered + 1)]
        with m.If(self.clear):
            m.d.sync += self.gathered.eq(0)
        return m

    def _onward(self, w, address: Signal, step) -> Value:
        """The address of the next row; in a ring, the first one follows the last."""
        onward = address + step
        return Mux(onward >= w.wrap, onward - w.ring, onward) if self._config.rings else onward

    def _tag(self, m: Module, w, line, ends_line, ends_pixel, inside, y) -> None:
        """What becomes of a segment: a line of a sum, or outputs after the first few lines."""
        begun = Signal()
        phase = Signal(4)
        weight = Signal(bits_for(self._config.weight_words))
        following = Signal(signed(20))
        tag = Signal(tag_layout(self._config))
        warm, sums = line < w.warm, w.line_weight != 0
        m.d.comb += [
            following.eq(y + w.line_stride),
            tag.steps.eq(~warm & (phase == 0)),
            tag.first.eq(~sums | ~begun),
            tag.last.eq(~sums | (line == w.lines) | (w.skip & (following >= w.height))),
            tag.weight.eq(weight),
            self.beat.segment.eq(w.segments),
            self.beat.ends.eq(ends_line),
            self.beat.doubled.eq(w.doubled),
            self.beat.tag.eq(tag),
        ]
        with m.If(ends_pixel):
            m.d.sync += [begun.eq(0), phase.eq(0), weight.eq(0)]
        with m.Elif(ends_line):
            m.d.sync += [
                begun.eq(begun | inside | ~w.skip),
                weight.eq(weight + w.line_weight),
                phase.eq(Mux(warm | (phase == w.every), 0, phase + 1)),
            ]
