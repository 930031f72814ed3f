"""Counters that know a cycle ahead that they will be at their end."""

from amaranth import Const, Module, Signal

__all__ = ["counted"]


def counted(m: Module, limit, begun, advance, restart, name: str) -> Signal:
    """Whether a counter from 0 to ``limit`` stands at its end, as a register; ``advance`` adds 1,
    ``restart`` sets it to 0 and wins.

    The comparison is made in the cycle before. So ``limit`` must hold, and ``begun`` be low, in the
    cycle before the counter is first looked at.
    """
    last = Signal(name=f"{name}_last")
    if isinstance(limit, Const) and limit.value == 0:
        m.d.comb += last.eq(1)
        return last
    single = Signal(name=f"{name}_single")
    following = Signal(len(limit) + 1, name=f"{name}_following", init=1)
    m.d.sync += single.eq(limit == 0)
    with m.If(~begun):
        m.d.sync += last.eq(limit == 0)
    with m.If(advance):
        m.d.sync += [following.eq(following + 1), last.eq(following == limit)]
    with m.If(restart):
        m.d.sync += [following.eq(1), last.eq(single)]
    return last
