"""Drain: finished sums leave in the order of rows, then groups, one group a cycle."""

from collections.abc import Sequence

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data

from .config import Config, bits_for

__all__ = ["drain"]


def drain(
    m: Module,
    config: Config,
    step: data.View,
    ends: Value,
    latency: int,
    results: Sequence[Value],
) -> tuple[Signal, Signal]:
    """Whether there is a group of ``lanes`` sums in this cycle, and the group.

    ``results`` has the groups of every row, each ready at the latest when its turn comes. The first
    group of a pass leaves ``latency`` cycles after ``ends``, which is high with a pass's last step.
    """
    # The bursts of finished passes reach this place just when their first group is ready. A cycle
    # before, it is known which group that is.
    burst_bits = len(step.burst)
    early = ended = Cat(step.burst, step.groups_last, ends)
    for stage in range(latency - 1):
        later = Signal(len(ended), name=f"ended_{stage}")
        m.d.sync += later.eq(ended)
        early, ended = ended, later
    starts, burst = ended[-1], ended[:burst_bits]
    starts_early, width_early = early[-1], early[burst_bits:-1]
    left_over = Signal(burst_bits)
    row = Signal(bits_for(config.rows))
    group = Signal(bits_for(config.groups))
    width = Signal(bits_for(config.groups))
    active = Signal()
    with m.If(starts):
        m.d.comb += active.eq(1)
        m.d.sync += left_over.eq(burst - 1)
    with m.Else():
        m.d.comb += active.eq(left_over != 0)
        with m.If(active):
            m.d.sync += left_over.eq(left_over - 1)
    with m.If(starts_early):
        m.d.sync += [row.eq(0), group.eq(0), width.eq(width_early)]
    with m.Elif(group == width):
        m.d.sync += [row.eq(row + 1), group.eq(0)]
    with m.Else():
        m.d.sync += group.eq(group + 1)
    chosen = Signal(config.accumulator_bits * config.lanes, reset_less=True)
    valid = Signal()
    with m.Switch(Cat(group, row)):
        for r in range(config.rows):
            for g in range(config.groups):
                with m.Case((r << len(group)) | g):
                    m.d.sync += chosen.eq(results[r * config.groups + g])
    m.d.sync += valid.eq(active)
    return valid, chosen
