"""Core: issues the steps of each pass over a tile of pixels and a tile of output channels."""

from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .gather import tag_layout
from .words import Fields

__all__ = ["Core", "step_layout"]


def step_layout(config: Config) -> data.StructLayout:
    """One step of the array: where its operands lie, and where it stands in its pass.

    ``burst`` and ``groups_last`` matter with ``last``: how many result groups the pass leaves, and
    how many of them (less one) each row has. ``segment`` takes operands by ``pattern``.
    """
    members = {
        "patch": bits_for(config.patch_words),
        "weight": bits_for(config.weight_words),
        "first": 1,
        "last": 1,
        "maximum": 1,
        "burst": bits_for(config.rows * config.groups + 1),
        "groups_last": bits_for(config.groups),
    }
    if config.patterns:
        members |= {"segment": 1, "pattern": bits_for(len(config.patterns))}
    return data.StructLayout(members)


@dataclass(frozen=True)
class _Step:
    """The signals that say which step comes next, and whether it is one."""

    k: Signal
    base: Signal
    first: Signal
    last: Signal
    there: Signal
    issues: Signal
    weight: Signal
    go: Signal


class Core(wiring.Component):
    """Walks tiles of ``rows`` pixels, passes of ``cols`` channels, and words of ``depth`` products.

    A step issues when its patch word is written and its pass's weights have arrived. The last step
    of a pass also waits until the previous pass's results are being read out fast enough not to be
    overtaken, and until the result queue has room for its own. Nothing behind it ever stalls.

    A word walks all passes of a tile before the next tile; or, with ``stationary``, all tiles with
    the weights of a pass before the next pass, for which the gather unit repeats the patches. A
    word with ``segments`` does the latter, and takes a step per pattern from each segment as its
    tag says.

    One step per cycle, none lost between passes, tiles or words.

    Members
    -------
    i : stream of words
    step, valid : the step that issues in this cycle
    push : the segment at ``step.patch`` is the newest from now on
    written, released : ring positions of the patch ring, modulo twice its size
    tag_enable, tag : a segment is written, where there are patterns
    fetched : progress counter of the fetch unit
    popped : the epilogue takes a result group
    passed : passes finished, from which the fetch unit learns that weights are spent
    """

    i: stream.Interface
    valid: Signal
    step: data.View
    push: Signal
    tag_enable: Signal
    tag: Signal
    written: Signal
    released: Signal
    fetched: Signal
    popped: Signal
    passed: Signal
    clear: Signal
    hold: Signal

    def __init__(self, config: Config, fields: Fields):
        self._config, self._fields = config, fields
        pointer = bits_for(2 * config.patch_words)
        segments: dict = {}
        if config.patterns:
            tag = tag_layout(config).size
            segments = {"push": Out(1), "tag_enable": In(1), "tag": In(tag)}
        super().__init__(
            segments
            | {
                "i": In(stream.Signature(fields.width)),
                "valid": Out(1),
                "step": Out(step_layout(config)),
                "written": In(pointer),
                "released": Out(pointer),
                "fetched": In(config.token_bits),
                "popped": In(1),
                "passed": Out(config.token_bits),
                "clear": In(1),
                "hold": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        w = self._fields.view(self.i.payload)
        pointer = len(self.written)
        k = Signal(max(len(w.words), len(w.patterns)))
        n = Signal(16)
        tile = Signal(20)
        base = Signal(pointer)
        offset = Signal(bits_for(config.weight_words))
        pass_offset = Signal(bits_for(config.weight_words))
        need = Signal(config.token_bits)
        position = Signal(pointer)
        final_pass, final_tile = n == w.passes, tile == w.tiles
        first, last = Signal(), Signal()
        m.d.comb += [first.eq(k == 0), last.eq(k == w.words)]

        burst = Signal(bits_for(config.rows * config.groups + 1))
        m.d.comb += burst.eq(
            Mux(
                final_tile,
                Mux(final_pass, w.burst_last, w.burst_last_tile),
                Mux(final_pass, w.burst_last_pass, w.burst),
            )
        )
        draining = Signal.like(burst)
        credit = Signal(range(config.results + 1), init=config.results)
        drained = ~last | ((draining == 0) & (credit >= burst))
        there, issues, weight = Signal(), Signal(init=1), Signal.like(offset)
        go = Signal()
        ends, ends_word = Signal(), Signal()
        m.d.comb += [
            position.eq(base + k),
            there.eq(position != self.written),
            weight.eq(w.weight + offset),
            go.eq(self.i.valid & there & (self.fetched >= w.need + need) & drained & ~self.hold),
            self.valid.eq(go & issues),
            self.step.patch.eq(position),
            self.step.weight.eq(weight),
            self.step.first.eq(first),
            self.step.last.eq(last),
            self.step.maximum.eq(w.maximum),
            self.step.burst.eq(burst),
            self.step.groups_last.eq(Mux(final_pass, w.groups_last, config.groups - 1)),
            ends.eq(go & last),
            ends_word.eq(ends & final_pass & final_tile),
            self.i.ready.eq(ends_word),
        ]
        m.d.sync += credit.eq(credit + self.popped - Mux(ends, burst, 0))
        with m.If(ends):
            m.d.sync += draining.eq(burst - 1)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)

        # Weights of a pass follow those of the one before, or begin again where their ring does.
        turn = Signal(16)
        following = Signal.like(offset)
        ends_pass = Signal()
        m.d.comb += [
            ends_pass.eq(ends & (final_tile | ~w.stationary)),
            following.eq(Mux(turn == w.around, 0, offset + w.weight_step)),
        ]
        with m.If(go):
            m.d.sync += [k.eq(k + 1), offset.eq(offset + w.weight_step)]
        with m.If(ends):
            m.d.sync += k.eq(0)
            with m.If(w.stationary):
                m.d.sync += [tile.eq(tile + 1), offset.eq(pass_offset), base.eq(position + 1)]
            with m.Elif(final_pass):
                m.d.sync += [tile.eq(tile + 1), base.eq(position + 1)]
            with m.If(ends_pass):
                m.d.sync += [
                    n.eq(n + 1),
                    need.eq(need + w.pass_need),
                    turn.eq(Mux(turn == w.around, 0, turn + 1)),
                    offset.eq(following),
                    pass_offset.eq(following),
                ]
            with m.If(ends_pass & w.stationary):
                m.d.sync += tile.eq(0)
            with m.If(ends_pass & final_pass):
                m.d.sync += [s.eq(0) for s in (n, need, turn, offset, pass_offset)]
            with m.If(ends_word):
                m.d.sync += tile.eq(0)
        if config.patterns:
            step = _Step(k, base, first, last, there, issues, weight, go)
            self._segments(m, w, step, pass_offset)
            with m.If(ends_pass & w.segments):
                further = pass_offset + w.words + 1
                m.d.sync += pass_offset.eq(Mux(final_pass | (turn == w.around), 0, further))

        # Rows and column groups read later than the step issues; what they read is freed later yet.
        freed = base
        for i in range(config.rows):
            later = Signal(pointer, name=f"base_{i}")
            m.d.sync += later.eq(freed)
            freed = later
        m.d.comb += self.released.eq(freed)
        ended = ends
        for i in range(config.groups):
            later = Signal(name=f"ended_{i}")
            m.d.sync += later.eq(ended)
            ended = later
        m.d.sync += self.passed.eq(self.passed + ended)
        with m.If(self.clear):
            m.d.sync += self.passed.eq(0)
        return m

    def _segments(self, m: Module, w, step: "_Step", pass_offset: Signal) -> None:
        """Steps of a segment, as its tag says; they leave the ring with the last of them."""
        config = self._config
        tags = fifo.SyncFIFOBuffered(width=len(self.tag), depth=config.patch_words)
        m.submodules.tags = tags
        tag = Signal(tag_layout(config))
        final = Signal()
        m.d.comb += [
            tags.w_en.eq(self.tag_enable),
            tags.w_data.eq(self.tag),
            tag.eq(tags.r_data),
            final.eq((step.k == w.patterns) | ~tag.steps),
            self.step.segment.eq(w.segments),
            self.step.pattern.eq(w.pattern + step.k),
        ]
        with m.If(w.segments):
            m.d.comb += [
                step.there.eq(tags.r_rdy),
                self.step.patch.eq(step.base),
                step.first.eq(tag.first & (step.k == 0)),
                step.last.eq(tag.steps & tag.last & final),
                step.issues.eq(tag.steps),
                step.weight.eq(w.weight + pass_offset + tag.weight + step.k),
                tags.r_en.eq(step.go & final),
                self.push.eq(step.go & (step.k == 0)),
            ]
            with m.If(step.go & final):
                m.d.sync += [step.k.eq(0), step.base.eq(step.base + 1)]
