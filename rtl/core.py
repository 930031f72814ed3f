"""Core: issues the steps of each pass over a tile of pixels and a tile of output channels."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .words import Fields

__all__ = ["Core", "step_layout"]


def step_layout(config: Config) -> data.StructLayout:
    """One step of the array: where its operands lie, and where it stands in its pass.

    ``burst`` and ``groups_last`` matter with ``last``: how many result groups the pass leaves, and
    how many of them (less one) each row has.
    """
    return data.StructLayout(
        {
            "patch": bits_for(config.patch_words),
            "weight": bits_for(config.weight_words),
            "first": 1,
            "last": 1,
            "maximum": 1,
            "burst": bits_for(config.rows * config.groups + 1),
            "groups_last": bits_for(config.groups),
        }
    )


class Core(wiring.Component):
    """Walks tiles of ``rows`` pixels, passes of ``cols`` channels, and words of ``depth`` products.

    A step issues when its patch word is written and its pass's weights have arrived. The last step
    of a pass also waits until the previous pass's results are being read out fast enough not to be
    overtaken, and until the result queue has room for its own. Nothing behind it ever stalls.

    One step per cycle, none lost between passes, tiles or words.

    Members
    -------
    i : stream of words
    step, valid : the step that issues in this cycle
    written, released : ring positions of the patch ring, modulo twice its size
    fetched : progress counter of the fetch unit
    popped : the epilogue takes a result group
    passed : passes finished, from which the fetch unit learns that weights are spent
    """

    i: stream.Interface
    valid: Signal
    step: data.View
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
        super().__init__(
            {
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
        k = Signal(len(w.words))
        n = Signal(16)
        tile = Signal(20)
        base = Signal(pointer)
        offset = Signal(bits_for(config.weight_words))
        need = Signal(config.token_bits)
        position = Signal(pointer)
        final_pass, final_tile = n == w.passes, tile == w.tiles
        first, last = k == 0, k == w.words

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
        go = Signal()
        m.d.comb += [
            position.eq(base + k),
            go.eq(
                self.i.valid
                & (position != self.written)
                & (self.fetched >= w.need + need)
                & drained
                & ~self.hold
            ),
            self.valid.eq(go),
            self.step.patch.eq(position),
            self.step.weight.eq(w.weight + offset),
            self.step.first.eq(first),
            self.step.last.eq(last),
            self.step.maximum.eq(w.maximum),
            self.step.burst.eq(burst),
            self.step.groups_last.eq(Mux(final_pass, w.groups_last, config.groups - 1)),
            self.i.ready.eq(go & last & final_pass & final_tile),
        ]
        ends = Signal()
        m.d.comb += ends.eq(go & last)
        m.d.sync += credit.eq(credit + self.popped - Mux(ends, burst, 0))
        with m.If(ends):
            m.d.sync += draining.eq(burst - 1)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)

        with m.If(go):
            m.d.sync += [k.eq(k + 1), offset.eq(offset + w.weight_step)]
        with m.If(ends):
            m.d.sync += [k.eq(0), n.eq(n + 1), need.eq(need + w.pass_need)]
            with m.If(final_pass):
                m.d.sync += [n.eq(0), need.eq(0), offset.eq(0), tile.eq(tile + 1)]
                m.d.sync += base.eq(base + w.words + 1)
                with m.If(final_tile):
                    m.d.sync += tile.eq(0)

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
