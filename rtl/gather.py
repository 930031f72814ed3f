"""Gather: the affine address generator that turns convolution windows into contiguous patches."""

from amaranth import Array as Choice
from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .compare import less
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


_COMMON = ("buffer", "pad", "segments", "doubled", "producer", "start")
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

    STAGES = 4
    QUEUE = 16
    TOKEN_LATENCY = 2
    WORD_STEPS = 4
    STEP_LATENCY = STAGES + 1 + 1 + 1

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
        m.submodules.queue = queue = fifo.SyncFIFO(width=layout.size, depth=self.QUEUE)
        entry, enters, begins = self._loops(m, issues)
        ahead, head = Signal(layout), Signal(layout, reset_less=True)
        has_head, loads = Signal(name="has_head"), Signal(name="loads")
        m.d.comb += [
            queue.w_data.eq(entry),
            queue.w_en.eq(enters),
            queue.r_en.eq(loads),
            ahead.eq(queue.r_data),
            loads.eq(~has_head | issues),
        ]
        with m.If(loads):
            m.d.sync += [has_head.eq(queue.r_rdy), head.eq(ahead)]

        # What the beats of a word share waits in a queue of its own, with the room of a tile.
        common = Fields({name: self._fields[name] for name in _COMMON})
        tile = bits_for(config.patch_words + 1)
        m.submodules.common = words = fifo.SyncFIFOBuffered(
            width=common.width + tile, depth=self.QUEUE
        )
        w, needed = common.view(words.r_data[: common.width]), words.r_data[common.width :]
        entering = self._fields.view(self.i.payload)
        room = Mux(entering.segments, 1, entering.words + 1)
        m.d.comb += [
            words.w_data[: common.width].eq(common.select(entering)),
            words.w_data[common.width :].eq(room),
            words.w_en.eq(begins),
            words.r_en.eq(issues & head.final),
        ]

        # The oldest beat is requested when its tokens are there. They are compared in the cycle
        # before, also with what the beat behind it needs: counters only grow, and of the room
        # goes what is claimed now. They are the word's own from its second cycle on.
        progress = Signal(config.token_bits)
        m.d.comb += progress.eq(Choice([*self.stored, self.fetched])[w.producer])
        started = ~less(self.stored[self._core], w.start)
        claims = issues & head.opens & ~head.skip
        fits = ~Mux(claims, less(self.room, needed << 1), less(self.room, needed))
        may = [
            one.skip | ((~one.inside | ~less(progress, one.need)) & (~one.opens | fits))
            for one in (ahead, head)
        ]
        settled, allowed = Signal(name="settled"), Signal(name="allowed")
        m.d.sync += [
            settled.eq(words.r_rdy & ~words.r_en & started),
            allowed.eq(Mux(loads, *may)),
        ]

        # A beat whose predecessor is held back waits aside, so that whether a buffer is free
        # decides nothing but what is on offer.
        request, aside = (Signal(layout, name=n, reset_less=True) for n in ("offered", "aside"))
        of_request, of_aside = (
            Signal(common.width, name=n, reset_less=True) for n in ("of_offered", "of_aside")
        )
        active, free, parked = (Signal(name=n) for n in ("active", "free", "parked"))
        requested = common.view(of_request)
        m.d.comb += [
            free.eq(~active | request.skip | self.request.ready),
            issues.eq(has_head & settled & allowed & ~parked & ~self.hold),
            self.claim.eq(Mux(claims, needed, 0)),
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
        of_head = words.r_data[: common.width]
        m.d.sync += parked.eq(~free & (issues | parked))
        with m.If(~parked):
            m.d.sync += [aside.eq(head), of_aside.eq(of_head)]
        with m.If(free):
            m.d.sync += [
                active.eq(issues | parked),
                request.eq(Mux(parked, aside, head)),
                of_request.eq(Mux(parked, of_aside, of_head)),
            ]
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
        begun, step = Signal(name="begun"), Signal(name="step")
        walked, left_behind = Signal(name="walked"), Signal(name="left_behind")
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
            last_tap.eq((ends_run & taps) | skips),
            last_line.eq(last_tap & lines),
            last_pixel.eq(last_line & pixels),
            last_row.eq(last_pixel & rows),
            last.eq(last_row & repeats),
        ]
        # The stages look at the word for two cycles more. Whether there is a step is known from the
        # cycle before, and so is whether the queue is full.
        full = ~issues & Mux(step, held == self.QUEUE - 1, held == self.QUEUE)
        ends_word = step & last
        m.d.sync += [
            walked.eq(ends_word),
            left_behind.eq(walked),
            step.eq(self.i.valid & ~left_behind & ~walked & ~ends_word & ~full),
        ]
        m.d.comb += self.i.ready.eq(left_behind)
        with m.If(~begun):
            m.d.sync += [left.eq(w.run), ends_run.eq(w.run <= window)]
        with m.If(step):
            m.d.sync += [
                left.eq(left - window),
                ends_run.eq(left <= window << 1),
                opens.eq(Mux(w.segments, last_tap, last_line & publish)),
            ]
            with m.If(ends_run | skips):
                m.d.sync += [left.eq(w.run), ends_run.eq(w.run <= window)]
            with m.If(last_line):
                m.d.sync += lane.eq(Mux(lane == config.rows - 1, 0, lane + 1))
            with m.If(last_row):
                m.d.sync += lane.eq(0)

        # Where the step is follows a cycle later. Lines that are left out or shown twice are known
        # by their number, which so must be there at once.
        ends = (ends_run, ends_run | skips, last_tap, last_line, last_pixel, last_row, last)
        done = Cat(step & end for end in ends)
        done_late = Signal.like(done)
        stepped, stays_late, row_stays_late = (
            Signal(name=n) for n in ("stepped", "stays_late", "row_stays_late")
        )
        m.d.sync += [
            done_late.eq(done),
            stepped.eq(step),
            stays_late.eq(stays),
            row_stays_late.eq(row_stays),
        ]
        _, _, on_line, on_pixel, on_row, on_repeat, _ = done if config.patterns else done_late
        with m.If(on_line):
            m.d.sync += line_y.eq(line_y + w.line_stride)
        with m.If(on_pixel):
            m.d.sync += line_y.eq(row_y)
        with m.If(on_row):
            m.d.sync += [row_y.eq(row_y + w.row_stride), line_y.eq(row_y + w.row_stride)]
        with m.If(on_repeat):
            m.d.sync += [row_y.eq(0), line_y.eq(0)]

        next_line = self._onward(w, line_address, w.line_step)
        next_row = Mux(row_stays_late, row_address, self._onward(w, row_address, w.row_step))
        next_need = Mux(row_stays_late, row_need, row_need + w.row_need)
        on_tap, on_run, on_line, on_pixel, on_row, on_repeat, on_word = done_late
        with m.If(stepped):
            m.d.sync += run.eq(run + window)
        with m.If(on_run):
            m.d.sync += run.eq(0)
        with m.If(on_tap):
            m.d.sync += tap_at.eq(tap_at + w.tap_step)
        with m.If(on_line):
            m.d.sync += tap_at.eq(pixel_at)
            with m.If(~stays_late):
                m.d.sync += [line_address.eq(next_line), line_need.eq(line_need + w.line_need)]
        with m.If(on_pixel):
            m.d.sync += [
                line_address.eq(row_address),
                line_need.eq(row_need),
                pixel_at.eq(pixel_at + w.pixel_step),
                tap_at.eq(pixel_at + w.pixel_step),
            ]
        with m.If(on_row):
            m.d.sync += [
                pixel_at.eq(0),
                tap_at.eq(0),
                row_address.eq(next_row),
                line_address.eq(next_row),
                row_need.eq(next_need),
                line_need.eq(next_need),
            ]
        with m.If(on_repeat):
            m.d.sync += [s.eq(0) for s in (row_address, line_address, row_need, line_need)]
            m.d.sync += repeat_at.eq(repeat_at + w.repeat_step)
        with m.If(on_word):
            m.d.sync += repeat_at.eq(0)

        # In stages: sums of two, then of all and what they are compared with, then the edges.
        base = Signal(config.address_bits)
        along, edge = Signal(signed(span)), Signal(signed(span))
        y_late = Signal.like(y)
        need = Signal(config.token_bits)
        most, left_late = Signal.like(left), Signal.like(left)
        m.d.sync += left_late.eq(left)
        position, end = Signal(signed(span)), Signal(signed(span))
        address = Signal(config.address_bits)
        least = Signal(config.token_bits)
        count = Signal(size)
        inside = Signal()
        m.d.sync += [
            base.eq(w.address + repeat_at + line_address),
            along.eq(tap_at + run),
            edge.eq(w.width - w.position),
            y_late.eq(delayed(m, y, 1, "y") if config.patterns else y),
            need.eq(w.need + line_need),
            most.eq(left_late),
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
