"""Gather: the affine address generator that turns convolution windows into contiguous patches."""

from amaranth import Array as Choice
from amaranth import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .counted import counted
from .delay import delayed
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


def _entry_layout(config: Config) -> data.StructLayout:
    """A beat in the queue: what the packer must know, and what the request waits for. ``skip``
    requests nothing, ``final`` ends the word."""
    beat = dict(beat_layout(config))
    for name in ("pad", "segment", "doubled"):
        beat.pop(name, None)
    members = {name: member.shape for name, member in beat.items()}
    members |= {"address": config.address_bits, "need": config.token_bits}
    return data.StructLayout(members | dict.fromkeys(("inside", "opens", "skip", "final"), 1))


_COMMON = ("buffer", "pad", "words", "segments", "doubled", "producer", "start")
"""The fields of a word that all its beats share, and need when they are requested."""


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

    One beat per cycle within a word, and one cycle between two words. The loops run ahead of the
    beats, by up to ``QUEUE`` of them and into the words that follow, through stages that work out
    addresses and edges and a short queue. A step of the loops takes a cycle, the next word begins
    :attr:`WORD_STEPS` cycles after a word's last step, and a beat is requested
    :attr:`STEP_LATENCY` cycles after its step at the earliest, which makes room for another step,
    and :attr:`TOKEN_LATENCY` cycles after its token or its room in the ring.

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

    STAGES = 3
    QUEUE = 16
    TOKEN_LATENCY = 2
    WORD_STEPS = 3
    STEP_LATENCY = STAGES + 2 + 1

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
        layout = _entry_layout(config)
        issues = Signal(name="issues")
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=layout.size, depth=self.QUEUE)
        entry, enters, begins = self._loops(m, issues)
        m.d.comb += [queue.w_data.eq(entry), queue.w_en.eq(enters), queue.r_en.eq(issues)]
        head = Signal(layout)
        m.d.comb += head.eq(queue.r_data)

        # What the beats of a word share waits in a queue of its own.
        common = Fields({name: self._fields[name] for name in _COMMON})
        m.submodules.common = words = fifo.SyncFIFOBuffered(width=common.width, depth=self.QUEUE)
        w = common.view(words.r_data)
        m.d.comb += [
            words.w_data.eq(common.select(self._fields.view(self.i.payload))),
            words.w_en.eq(begins),
            words.r_en.eq(issues & head.final),
        ]

        # The oldest beat of the queue is requested when its tokens are there. They are compared
        # with registers, which show the word's counters from its second cycle on.
        progress = Signal(config.token_bits)
        started, settled = Signal(), Signal()
        needed = Signal(bits_for(config.patch_words + 1))
        m.d.sync += [
            needed.eq(Mux(w.segments, 1, w.words + 1)),
            progress.eq(Choice([*self.stored, self.fetched])[w.producer]),
            started.eq(self.stored[self._core] >= w.start),
            settled.eq(words.r_rdy & ~words.r_en),
        ]
        active, free = Signal(name="active"), Signal(name="free")
        request = Signal(layout, reset_less=True)
        of_request = Signal(common.width, reset_less=True)
        requested = common.view(of_request)
        opened = ~head.inside | (progress >= head.need)
        roomy = ~head.opens | (self.room >= needed)
        proceeds = settled & started & ~self.hold & (head.skip | (opened & roomy))
        m.d.comb += [
            free.eq(~active | request.skip | self.request.ready),
            issues.eq(queue.r_rdy & proceeds & free),
            self.claim.eq(Mux(issues & head.opens & ~head.skip, needed, 0)),
            self.request.valid.eq(active & ~request.skip),
            self.request.payload.buffer.eq(requested.buffer),
            self.request.payload.address.eq(request.address),
            self.beat.pad.eq(requested.pad),
        ]
        for name, _ in beat_layout(config):
            if name in layout.members:
                m.d.comb += self.beat[name].eq(request[name])
        if config.patterns:
            m.d.comb += [
                self.beat.segment.eq(requested.segments),
                self.beat.doubled.eq(requested.doubled),
            ]
        with m.If(free):
            m.d.sync += [active.eq(issues), request.eq(head), of_request.eq(words.r_data)]
        with m.If(active & free & request.final):
            m.d.sync += self.gathered.eq(self.gathered + 1)
        with m.If(self.clear):
            m.d.sync += self.gathered.eq(0)
        return m

    def _loops(self, m: Module, issues: Signal) -> tuple[data.View, Signal, Signal]:
        """The loops of the words, which wait for places in the queue, that free with ``issues``;
        returns what enters the queue, :attr:`STAGES` cycles later, whether it does, and the first
        step of a word."""
        config = self._config
        w = self._fields.view(self.i.payload)
        window = Mux(w.segments, config.reach, config.window) if config.patterns else config.window
        span = config.address_bits + 2
        size = range(config.reach + 1)
        begun, step, walked = Signal(name="begun"), Signal(name="step"), Signal(name="walked")
        held = Signal(range(self.QUEUE + 1))
        m.d.sync += [
            begun.eq(self.i.valid & ~self.i.ready),
            held.eq(Mux(issues, held + step - 1, held + step)),
        ]

        # Positions relative to the word's own bases, one register per loop.
        run = Signal(config.address_bits)
        left = Signal(range(1 << max(len(w.run), 1)))
        ends_run = Signal()
        pixel_at = Signal(signed(span))
        tap_at = Signal(signed(span))
        row_address = Signal(signed(span))
        line_address = Signal(signed(span))
        row_y = Signal(signed(18))
        line_y = Signal(signed(18))
        row_need = Signal(config.token_bits)
        line_need = Signal(config.token_bits)
        repeat_at = Signal(signed(span))

        y = Signal(signed(19))
        m.d.comb += y.eq((w.line + line_y) >> w.doubled if config.doubled else w.line + line_y)
        skips = Const(0)
        if config.patterns:
            skips = w.segments & w.skip & ((y < 0) | (y >= w.height))
        # A line read for the first of two times stays where it is, and so does a single row.
        stays = row_stays = Const(0)
        if config.doubled:
            stays = w.doubled & ~(w.line + line_y)[0]
            row_stays = w.doubled & w.row_stride[0] & ~(w.line + row_y)[0]

        last_tap, last_line, last_pixel, last_row, last = (
            Signal(name=n) for n in ("last_tap", "last_line", "last_pixel", "last_row", "last")
        )
        taps = counted(m, w.taps, begun, step & ends_run, step & last_tap, "tap")
        lines = counted(m, w.lines, begun, step & last_tap, step & last_line, "line")
        pixels = counted(m, w.pixels, begun, step & last_line, step & last_pixel, "pixel")
        rows = counted(m, w.rows, begun, step & last_pixel, step & last_row, "row")
        repeats = counted(m, w.repeats, begun, step & last_row, step & last, "repeat")
        lane = Signal(range(config.rows))
        publish = (pixels & rows) | (lane == config.rows - 1)
        opens = Signal(init=1)
        m.d.comb += [
            step.eq(begun & ~walked & (held != self.QUEUE)),
            last_tap.eq((ends_run & taps) | skips),
            last_line.eq(last_tap & lines),
            last_pixel.eq(last_line & pixels),
            last_row.eq(last_pixel & rows),
            last.eq(last_row & repeats),
        ]
        # The stages look at the word for one cycle more.
        m.d.sync += walked.eq(step & last)
        m.d.comb += self.i.ready.eq(walked)
        with m.If(~begun):
            m.d.sync += [left.eq(w.run), ends_run.eq(w.run <= window)]
        next_line = self._onward(w, line_address, w.line_step)
        next_row = Mux(row_stays, row_address, self._onward(w, row_address, w.row_step))
        next_need = Mux(row_stays, row_need, row_need + w.row_need)
        with m.If(step):
            m.d.sync += [
                run.eq(run + window),
                left.eq(left - window),
                ends_run.eq(left <= window << 1),
                opens.eq(Mux(w.segments, last_tap, last_line & publish)),
            ]
            with m.If(ends_run | skips):
                m.d.sync += [run.eq(0), left.eq(w.run), ends_run.eq(w.run <= window)]
            with m.If(ends_run):
                m.d.sync += tap_at.eq(tap_at + w.tap_step)
            with m.If(last_tap):
                m.d.sync += [tap_at.eq(pixel_at), line_y.eq(line_y + w.line_stride)]
                with m.If(~stays):
                    m.d.sync += [
                        line_address.eq(next_line),
                        line_need.eq(line_need + w.line_need),
                    ]
            with m.If(last_line):
                m.d.sync += [
                    line_address.eq(row_address),
                    line_y.eq(row_y),
                    line_need.eq(row_need),
                    pixel_at.eq(pixel_at + w.pixel_step),
                    tap_at.eq(pixel_at + w.pixel_step),
                    lane.eq(Mux(lane == config.rows - 1, 0, lane + 1)),
                ]
            with m.If(last_pixel):
                m.d.sync += [
                    pixel_at.eq(0),
                    tap_at.eq(0),
                    row_address.eq(next_row),
                    line_address.eq(next_row),
                    row_y.eq(row_y + w.row_stride),
                    line_y.eq(row_y + w.row_stride),
                    row_need.eq(next_need),
                    line_need.eq(next_need),
                ]
            with m.If(last_row):
                ended = (lane, row_address, line_address, row_y, line_y, row_need, line_need)
                m.d.sync += [s.eq(0) for s in ended]
                m.d.sync += repeat_at.eq(repeat_at + w.repeat_step)
            with m.If(last):
                m.d.sync += repeat_at.eq(0)

        # In stages: sums of two, then of all and what they are compared with, then the edges.
        base = Signal(config.address_bits)
        along, edge = Signal(signed(span)), Signal(signed(span))
        y_late = Signal.like(y)
        need = Signal(config.token_bits)
        most = Signal.like(left)
        position, end = Signal(signed(span)), Signal(signed(span))
        address = Signal(config.address_bits)
        least = Signal(config.token_bits)
        count = Signal(size)
        inside = Signal()
        m.d.sync += [
            base.eq(w.address + repeat_at + line_address),
            along.eq(tap_at + run),
            edge.eq(w.width - w.position),
            y_late.eq(y),
            need.eq(w.need + line_need),
            most.eq(left),
            address.eq(base + along),
            position.eq(w.position + along),
            end.eq(edge - along),
            inside.eq((y_late >= 0) & (y_late < w.height)),
            least.eq(Mux(need < w.limit, need, w.limit)),
            count.eq(Mux(most < window, most, window)),
        ]
        low, high = Signal(size), Signal(size)
        with m.If(position < 0):
            m.d.comb += low.eq(Mux(-position < count, -position, count))
        with m.If(inside & (end > 0)):
            m.d.comb += high.eq(Mux(end < count, end, count))

        flags = {
            "flush": last_line | (ends_run & w.align),
            "last": last_line,
            "publish": publish,
            "row": lane,
            "opens": opens,
            "skip": skips,
            "final": last,
        }
        if config.patterns:
            tag = self._tag(m, w, step & last_tap, step & last_line, lines, w.line + line_y)
            flags |= {"ends": last_tap, "tag": tag}
        entry = Signal(_entry_layout(config))
        for name, value in flags.items():
            whole = Signal(entry[name].shape(), name=f"walk_{name}")
            m.d.comb += [
                whole.eq(value),
                entry[name].eq(delayed(m, whole, self.STAGES, f"ahead_{name}")),
            ]
        stage = {"count": count, "low": low, "high": high, "address": address}
        for name, value in (stage | {"need": least, "inside": inside}).items():
            m.d.comb += entry[name].eq(delayed(m, value, 1, f"ahead_{name}"))
        begins, within = Signal(name="begins"), Signal(name="within")
        m.d.comb += begins.eq(step & ~within)
        m.d.sync += within.eq(Mux(step, ~last, within))
        return entry, delayed(m, step, self.STAGES, "ahead", control=True), begins

    def _onward(self, w, address: Signal, step) -> Value:
        """The address of the next row; in a ring, the first one follows the last."""
        onward = address + step
        return Mux(onward >= w.wrap, onward - w.ring, onward) if self._config.rings else onward

    def _tag(self, m: Module, w, ends_line, ends_pixel, final, shown) -> data.View:
        """What becomes of a segment: a line of a sum, or outputs after the first few lines.
        ``shown`` is the line as it is shown, where each may be shown twice."""
        doubled = w.doubled if self._config.doubled else 0
        begun = Signal()
        phase = Signal(4)
        line = Signal(16)
        weight = Signal(bits_for(self._config.weight_words))
        y, following = Signal(signed(20)), Signal(signed(20))
        tag = Signal(tag_layout(self._config))
        inside = (y >= 0) & (y < w.height)
        warm, sums = line < w.warm, w.line_weight != 0
        m.d.comb += [
            y.eq(shown >> doubled),
            following.eq((shown + w.line_stride) >> doubled),
            tag.steps.eq(~warm & (phase == 0)),
            tag.first.eq(~sums | ~begun),
            tag.last.eq(~sums | final | (w.skip & (following >= w.height))),
            tag.weight.eq(weight),
        ]
        with m.If(ends_pixel):
            m.d.sync += [begun.eq(0), phase.eq(0), weight.eq(0), line.eq(0)]
        with m.Elif(ends_line):
            m.d.sync += [
                begun.eq(begun | inside | ~w.skip),
                weight.eq(weight + w.line_weight),
                phase.eq(Mux(warm | (phase == w.every), 0, phase + 1)),
                line.eq(line + 1),
            ]
        return tag
