"""Scatter: where each result group goes, in the order in which the array delivers them."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import Config, bits_for
from .words import Fields

__all__ = ["Scatter"]


class Scatter(wiring.Component):
    """Counts tiles, passes, rows and groups of a word and keeps the addresses that follow.

    Members
    -------
    word : the epilogue's word in force
    step : a group is taken
    store, residual : byte addresses of the group's first output and second operand
    bias, scale : words of the constant memories that belong to the group
    partial : the group is the last of its pixel, so maybe not full
    last : the group is the last of the word
    """

    word: Signal
    step: Signal
    store: Signal
    residual: Signal
    bias: Signal
    scale: Signal
    partial: Signal
    last: Signal

    def __init__(self, config: Config, fields: Fields):
        self._config, self._fields = config, fields
        super().__init__(
            {
                "word": In(fields.width),
                "step": In(1),
                "store": Out(config.address_bits),
                "residual": Out(config.address_bits),
                "bias": Out(bits_for(config.bias_words)),
                "scale": Out(bits_for(config.scale_words)),
                "partial": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        w = self._fields.view(self.word)
        tile = Signal(20)
        n = Signal(16)
        row = Signal(bits_for(config.rows))
        group = Signal(bits_for(config.groups))
        final_pass, final_tile = n == w.passes, tile == w.tiles
        last_group = group == Mux(final_pass, w.groups_last, config.groups - 1)
        last_row = row == Mux(final_tile, w.rows_last, config.rows - 1)
        ends_pass = last_group & last_row

        # Output groups count through a pixel's channels: bytes into the pixel, constants to read.
        channel = Signal(config.address_bits)
        index = Signal(24)
        channel_pass = Signal.like(channel)
        index_pass = Signal.like(index)
        # Pixels count along an output row; a new pass returns to the first pixel of its tile.
        x = Signal(16)
        x_tile = Signal(16)
        span = signed(config.address_bits + 2)
        with m.If(self.step):
            m.d.sync += [
                group.eq(group + 1),
                channel.eq(channel + config.lanes),
                index.eq(index + 1),
            ]
            with m.If(last_group):
                m.d.sync += [
                    group.eq(0),
                    channel.eq(channel_pass),
                    index.eq(index_pass),
                    row.eq(row + 1),
                    x.eq(Mux(x == w.pixels, 0, x + 1)),
                ]
            with m.If(ends_pass):
                m.d.sync += [
                    row.eq(0),
                    x.eq(x_tile),
                    n.eq(n + 1),
                    channel.eq(channel + config.lanes),
                    channel_pass.eq(channel + config.lanes),
                    index.eq(index + 1),
                    index_pass.eq(index + 1),
                ]
            with m.If(ends_pass & final_pass):
                m.d.sync += [n.eq(0), tile.eq(tile + 1)]
                m.d.sync += [s.eq(0) for s in (channel, channel_pass, index, index_pass)]
                m.d.sync += x.eq(Mux(x == w.pixels, 0, x + 1))
                m.d.sync += x_tile.eq(Mux(x == w.pixels, 0, x + 1))
            with m.If(self.last):
                m.d.sync += [s.eq(0) for s in (tile, x, x_tile)]

        for name, base, pixel, line in (
            ("store", w.address, w.pixel, w.row),
            ("residual", w.residual_address, w.residual_pixel, w.residual_row),
        ):
            at = Signal(span, name=name)
            at_tile = Signal(span, name=f"{name}_tile")
            following = Signal(span, name=f"{name}_following")
            m.d.comb += following.eq(at + Mux(x == w.pixels, line, pixel))
            with m.If(self.step):
                with m.If(last_group):
                    m.d.sync += at.eq(following)
                with m.If(ends_pass):
                    m.d.sync += at.eq(at_tile)
                with m.If(ends_pass & final_pass):
                    m.d.sync += [at.eq(following), at_tile.eq(following)]
                with m.If(self.last):
                    m.d.sync += [at.eq(0), at_tile.eq(0)]
            m.d.comb += getattr(self, name).eq(base + at + channel)
        m.d.comb += [
            self.bias.eq(w.bias + Mux(w.bias_step, index, 0)),
            self.scale.eq(w.scale + Mux(w.scale_step, index, 0)),
            self.partial.eq(last_group & final_pass),
            self.last.eq(ends_pass & final_pass & final_tile),
        ]
        return m
