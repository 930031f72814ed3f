"""Core: issues the steps of each pass over a tile of pixels and a tile of output channels."""

from dataclasses import dataclass

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .counted import counted
from .delay import delayed
from .gather import tag_layout
from .words import Fields

__all__ = ["STEP_LATENCY", "Core", "step_layout"]

STEP_LATENCY = 1
"""Cycles from a step's decision to the array."""


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

    first: Signal
    last: Signal
    there: Signal
    issues: Signal
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

    One step per cycle, none lost between passes or tiles; a word's first step comes
    :attr:`WORD_LATENCY` cycles after the word. Patch words are seen :attr:`LATE` cycles after they
    are written, and results that are taken count :attr:`CREDIT_LATE` cycles later, so that little
    is left to decide in the cycle of a step.

    Members
    -------
    i : stream of words
    step, valid : the step that was decided :data:`STEP_LATENCY` cycles before
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

    WORD_LATENCY = 2
    LATE = 1
    CREDIT_LATE = 2

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
        offset = Signal(bits_for(config.weight_words))
        pass_offset = Signal(bits_for(config.weight_words))
        first, last = Signal(name="first"), Signal(name="last")
        there, issues = Signal(), Signal(init=1)
        begun, go, ends, ends_pass, ends_passes, ends_word = (
            Signal(name=n) for n in ("begun", "go", "ends", "ends_pass", "ends_passes", "ends_word")
        )
        ends_tiles, wraps = Signal(name="ends_tiles"), Signal(name="wraps")
        final_pass = counted(m, w.passes, begun, ends_pass, ends_passes, "pass")
        final_tile = counted(
            m, w.tiles, begun, ends & (w.stationary | final_pass), ends_tiles, "tile"
        )
        # Weights of a pass follow those of the one before, or begin again where their ring does.
        turns = counted(m, w.around, begun, ends_pass, wraps, "turn")
        m.d.comb += [
            ends_pass.eq(ends & (final_tile | ~w.stationary)),
            ends_passes.eq(ends_pass & final_pass),
            ends_word.eq(ends & final_pass & final_tile),
            ends_tiles.eq(ends_word | (ends_pass & w.stationary)),
            wraps.eq(ends_pass & (final_pass | turns)),
        ]

        # The next step's place in the ring, and that of its tile, each beside its successor.
        position, base = Signal(pointer), Signal(pointer)
        ahead, base_ahead = Signal(pointer, init=1), Signal(pointer, init=1)
        written = Signal()
        replays = ends & ~final_pass & ~w.stationary
        with m.If(go):
            m.d.sync += [position.eq(ahead), ahead.eq(ahead + 1)]
        with m.If(replays):
            m.d.sync += [position.eq(base), ahead.eq(base_ahead)]
        with m.Elif(ends):
            m.d.sync += [base.eq(ahead), base_ahead.eq(ahead + 1)]
        m.d.sync += written.eq(
            Mux(
                go,
                Mux(replays, base != self.written, ahead != self.written),
                position != self.written,
            )
        )

        burst = Signal(bits_for(config.rows * config.groups + 1))
        m.d.comb += burst.eq(
            Mux(
                final_tile,
                Mux(final_pass, w.burst_last, w.burst_last_tile),
                Mux(final_pass, w.burst_last_pass, w.burst),
            )
        )
        # The last step of a pass may issue once the one before it is drained and there is room.
        # Credit is counted from a whole pass on, so that its sign says whether there is room.
        draining, drained = Signal.like(burst), Signal(init=1)
        most = config.rows * config.groups
        room = config.results - most
        credit = Signal(range(-most, room + 1), init=room)
        popped = delayed(m, self.popped, self.CREDIT_LATE, "popped", control=True)
        unspent, spent = Signal.like(credit), Signal.like(credit)
        may_end = Signal(init=1)
        m.d.comb += [unspent.eq(credit + popped), spent.eq(credit + popped - burst)]
        with m.If(ends):
            m.d.sync += [draining.eq(burst - 1), drained.eq(burst == 1), credit.eq(spent)]
            m.d.sync += may_end.eq((burst == 1) & (spent >= 0))
        with m.Else():
            with m.If(~drained):
                m.d.sync += [draining.eq(draining - 1), drained.eq(draining == 1)]
            m.d.sync += credit.eq(unspent)
            m.d.sync += may_end.eq((drained | (draining == 1)) & (unspent >= 0))

        need = Signal(config.token_bits)
        ended = Signal(name="ended")
        m.d.sync += [ended.eq(ends_word), begun.eq(self.i.valid & ~ends_word & ~ended)]
        with m.If(~begun | ends_passes):
            m.d.sync += need.eq(w.need)
        with m.Elif(ends_pass):
            m.d.sync += need.eq(need + w.pass_need)
        fed = self.fetched >= need if config.streamed else Const(1)
        step, issued = Signal(step_layout(config)), Signal()
        step_late = Signal.like(step)
        m.d.sync += [step_late.eq(step), self.valid.eq(issued)]
        m.d.comb += [
            there.eq(written),
            go.eq(begun & there & fed & (~last | may_end) & ~self.hold),
            issued.eq(go & issues),
            step.patch.eq(position),
            step.first.eq(first),
            step.last.eq(last),
            step.maximum.eq(w.maximum),
            step.burst.eq(burst),
            step.groups_last.eq(Mux(final_pass, w.groups_last, config.groups - 1)),
            ends.eq(go & last),
            self.i.ready.eq(ended),
        ]
        begins = Signal(init=1)
        m.d.comb += [first.eq(begins), last.eq(counted(m, w.words, begun, go, ends, "word"))]
        with m.If(go):
            m.d.sync += begins.eq(last)

        # The place among the weights follows its step a cycle late, with the step itself.
        passed = {"go": go, "back": ends & w.stationary, "pass": ends_pass, "passes": ends_passes}
        passed |= {"wraps": turns}
        did = {name: Signal(name=f"did_{name}") for name in passed}
        m.d.sync += [did[name].eq(value) for name, value in passed.items()]
        following = Signal.like(offset)
        m.d.comb += following.eq(Mux(did["wraps"], w.weight, offset + w.weight_step))
        with m.If(did["go"]):
            m.d.sync += offset.eq(offset + w.weight_step)
        with m.If(did["back"]):
            m.d.sync += offset.eq(pass_offset)
        with m.If(did["pass"]):
            m.d.sync += [offset.eq(following), pass_offset.eq(following)]
        with m.If(did["passes"] | ~begun & ~ended):
            m.d.sync += [offset.eq(w.weight), pass_offset.eq(w.weight)]
        m.d.comb += self.step.eq(step_late)
        m.d.comb += self.step.weight.eq(offset)
        if config.patterns:
            decided = _Step(first, last, there, issues, go)
            final, push, within = self._segments(m, w, decided, step)
            m.d.sync += self.push.eq(push)
            with m.If(w.segments):
                m.d.comb += self.step.weight.eq(pass_offset + within)
            with m.If(w.segments & go):
                m.d.sync += [s.eq(s) for s in (position, ahead)]
                with m.If(final):
                    m.d.sync += [position.eq(ahead), ahead.eq(ahead + 1)]
                    m.d.sync += [base.eq(ahead), base_ahead.eq(ahead + 1)]
            with m.If(did["pass"] & w.segments):
                further = pass_offset + w.words + 1
                m.d.sync += pass_offset.eq(Mux(did["passes"] | did["wraps"], w.weight, further))

        # Rows and column groups read later than the step issues; what they read is freed later yet.
        freed = base
        for i in range(STEP_LATENCY + config.rows):
            later = Signal(pointer, name=f"base_{i}")
            m.d.sync += later.eq(freed)
            freed = later
        m.d.comb += self.released.eq(freed)
        ended = ends
        for i in range(STEP_LATENCY + config.groups):
            later = Signal(name=f"ended_{i}")
            m.d.sync += later.eq(ended)
            ended = later
        m.d.sync += self.passed.eq(self.passed + ended)
        with m.If(self.clear):
            m.d.sync += self.passed.eq(0)
        return m

    def _segments(self, m: Module, w, decided: _Step, step: data.View):
        """Steps of a segment, as its tag says; returns whether a step is the last of them, with
        which the segment leaves the ring, whether it is the first, and a cycle later the place of
        its weights in those of the pass."""
        config = self._config
        tags = fifo.SyncFIFOBuffered(width=len(self.tag), depth=config.patch_words)
        m.submodules.tags = tags
        tag = Signal(tag_layout(config))
        k = Signal(len(w.patterns))
        final, push = Signal(name="final"), Signal(name="push")
        within = Signal(len(step.weight), name="within")
        m.d.sync += within.eq(tag.weight + k)
        m.d.comb += [
            tags.w_en.eq(self.tag_enable),
            tags.w_data.eq(self.tag),
            tag.eq(tags.r_data),
            final.eq((k == w.patterns) | ~tag.steps),
            step.segment.eq(w.segments),
            step.pattern.eq(w.pattern + k),
        ]
        with m.If(w.segments):
            m.d.comb += [
                decided.there.eq(tags.r_rdy),
                decided.first.eq(tag.first & (k == 0)),
                decided.last.eq(tag.steps & tag.last & final),
                decided.issues.eq(tag.steps),
                tags.r_en.eq(decided.go & final),
                push.eq(decided.go & (k == 0)),
            ]
            with m.If(decided.go):
                m.d.sync += k.eq(Mux(final, 0, k + 1))
        return final, push, within
