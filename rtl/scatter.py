"""Scatter: where each result group goes, in the order in which the array delivers them."""

from amaranth import Array as Choice
from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .counted import counted
from .words import Fields

__all__ = ["Scatter"]


class Scatter(wiring.Component):
    """Counts tiles, passes, rows and groups of a word and keeps the addresses that follow.

    A group lies ``channel_step`` bytes behind its predecessor of the same pixel and pass, a pass
    ``pass_step`` behind the one before. In a ring of ``ring`` bytes, pixels that would lie ``wrap``
    or more behind the first lie that much further ahead.

    Members
    -------
    word : the epilogue's word in force
    begun : low in the cycle before a word's first step, in which the word is already there
    step : a group is taken
    store, residual : byte addresses of the group's first output and second operand, and with them
        bias, scale and partial, come :attr:`LATENCY` cycles later
    bias, scale : words of the constant memories that belong to the group; ``scale`` where words
        have one
    partial : the group lies at the edge that the word names, so maybe not full: ``edge`` 0 is the
        last group of a pixel, 1 the last pixel of a row, 2 the last row of pixels
    last : the group is the last of the word
    """

    LATENCY = 1

    word: Signal
    begun: Signal
    step: Signal
    store: Signal
    residual: Signal
    bias: Signal
    scale: Signal
    partial: Signal
    last: Signal

    def __init__(self, config: Config, fields: Fields):
        self._config, self._fields = config, fields
        scale: dict = {}
        if "scale" in fields:
            scale = {"scale": Out(bits_for(config.scale_words))}
        super().__init__(
            scale
            | {
                "word": In(fields.width),
                "begun": In(1),
                "step": In(1),
                "store": Out(config.address_bits),
                "residual": Out(config.address_bits),
                "bias": Out(bits_for(config.bias_words)),
                "partial": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        w = self._fields.view(self.word)
        row = Signal(bits_for(config.rows))
        group = Signal(bits_for(config.groups))
        step, last_group, last_row, ends_tile = self.step, Signal(), Signal(), Signal()
        ends_pass, ends_passes, onward, ends_tiles = (
            Signal(name=n) for n in ("ends_pass", "ends_passes", "onward", "ends_tiles")
        )
        final_pass = counted(m, w.passes, self.begun, step & ends_pass, step & ends_passes, "pass")
        final_tile = counted(m, w.tiles, self.begun, step & onward, step & ends_tiles, "tile")
        groups_last = Mux(final_pass, w.groups_last, config.groups - 1)
        rows_last = Mux(final_tile, w.rows_last, config.rows - 1)
        m.d.comb += [
            last_group.eq(group == groups_last if config.groups > 1 else 1),
            last_row.eq(row == rows_last if config.rows > 1 else 1),
            ends_tile.eq(last_group & last_row),
            ends_pass.eq(ends_tile & (final_tile | ~w.stationary)),
            ends_passes.eq(ends_pass & final_pass),
            onward.eq(ends_tile & (final_pass | w.stationary)),
            ends_tiles.eq(onward & final_tile),
            self.last.eq(ends_tile & final_pass & final_tile),
        ]
        with m.If(step):
            m.d.sync += group.eq(Mux(last_group, 0, group + 1))
            with m.If(last_group):
                m.d.sync += row.eq(Mux(last_row, 0, row + 1))

        # Addresses follow a cycle later.
        now = {"step": step, "group": last_group, "tile": ends_tile, "final": final_pass}
        now |= {"pass": ends_pass, "passes": ends_passes, "word": self.last}
        did = {name: Signal(name=f"did_{name}") for name in now}
        m.d.sync += [did[name].eq(value) for name, value in now.items()]

        # Output groups count through a pixel's channels: bytes into the pixel, constants to read.
        span = signed(config.address_bits + 2)
        channel, channel_pass = Signal(span), Signal(span)
        walks: list = [(channel, channel_pass, 0, w.channel_step, w.pass_step)]
        for name in ("bias", "scale"):
            if hasattr(self, name):
                index = getattr(self, name)
                index_pass = Signal.like(index, name=f"{name}_pass")
                each = getattr(w, f"{name}_step")
                walks.append((index, index_pass, getattr(w, name), each, config.groups * each))
        for at, at_pass, base, each, each_pass in walks:
            with m.If(did["step"]):
                m.d.sync += at.eq(Mux(did["group"], at_pass, at + each))
                with m.If(did["pass"]):
                    m.d.sync += [at.eq(at_pass + each_pass), at_pass.eq(at_pass + each_pass)]
            with m.If(~self.begun | (did["step"] & did["passes"])):
                m.d.sync += [at.eq(base), at_pass.eq(base)]

        # Pixels count along an output row; a new pass returns to the first pixel of its tile, or
        # where it has all tiles to itself, to the first of all.
        x, y = Signal(len(w.pixels)), Signal(len(w.lines))
        moved, reached, ends_row = (
            Signal(name="moved"),
            Signal(name="reached"),
            Signal(name="ends_row"),
        )
        single, before_last = Signal(), Signal.like(x)
        m.d.sync += [single.eq(w.pixels == 0), before_last.eq(w.pixels - 1)]
        m.d.comb += ends_row.eq(Mux(moved, reached, single))
        walks = [(x, Mux(ends_row, 0, x + 1)), (y, y + ends_row)]
        walks += [(moved, ~ends_row), (reached, x == before_last)]
        for name, of in (("store", ""), ("residual", "residual_")):
            base, pixel, line = (getattr(w, f"{of}{n}") for n in ("address", "pixel", "row"))
            at = Signal(span, name=f"{name}_at")
            next_at = at + Mux(ends_row, line, pixel)
            if config.rings:
                ring, wrap = getattr(w, f"{of}ring"), getattr(w, f"{of}wrap")
                next_at = Mux(next_at >= wrap, next_at - ring, next_at)
            walks.append((at, next_at))
            m.d.comb += getattr(self, name).eq(base + at + channel)
        for at, walked in walks:
            at_tile = Signal.like(at, name=f"{at.name}_tile")
            following = Signal.like(at, name=f"{at.name}_following")
            m.d.comb += following.eq(walked)
            with m.If(did["step"] & did["group"]):
                m.d.sync += at.eq(following)
                with m.If(did["tile"] & ~w.stationary):
                    m.d.sync += at.eq(at_tile)
                    with m.If(did["final"]):
                        m.d.sync += [at.eq(following), at_tile.eq(following)]
                with m.If(did["pass"] & w.stationary | did["word"]):
                    m.d.sync += [at.eq(0), at_tile.eq(0)]
        edges = [did["group"] & did["final"], ends_row, y == w.lines]
        m.d.comb += self.partial.eq(Choice(edges)[w.edge])
        return m
