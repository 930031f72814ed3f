"""Timing: the cycles of a schedule, in closed form per tile, before any circuit exists."""

from dataclasses import dataclass

__all__ = ["Prediction", "Span"]


@dataclass(frozen=True)
class Span:
    """From the first to the last cycle in which a unit works on something; cycle 0 is the start.

    ``unit`` is gather, core, epilogue, fetch or send, ``index`` the word of its program.
    """

    unit: str
    index: int
    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Prediction:
    """Cycles from start to done, and when each unit works on each word of its program."""

    cycles: int
    spans: tuple[Span, ...]
