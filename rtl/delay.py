"""Values some cycles later."""

from amaranth import Module, Signal

__all__ = ["delayed"]


def delayed(m: Module, value, cycles: int, name: str, *, control: bool = False):
    """``value`` some cycles later; only ``control`` resets."""
    for stage in range(cycles):
        later = Signal(len(value), name=f"{name}_{stage}", reset_less=not control)
        m.d.sync += later.eq(value)
        value = later
    return value
