"""A board's top in simulation, with its UART at a pseudo-terminal."""

import os
import subprocess
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sim.verilator import SimulationError, compiled, source

__all__ = ["Noise", "build", "running"]


@dataclass(frozen=True)
class Noise:
    """What happens on both lines: to how many of a million bits or bytes."""

    flip: float = 0
    drop: float = 0
    repeat: float = 0
    seed: int = 1


def build(top: str, accelerator: str, *, progress: Callable[[str], None] | None = None) -> Path:
    """The executable of a board's top and its accelerator, both Verilog.

    Raises
    ------
    UserError, SimulationError
        As :func:`sim.verilator.build`.
    """
    sources = {
        "waivers.vlt": source("waivers.vlt").replace("*accelerator.v", "*.v"),
        "top.v": top,
        "accelerator.v": accelerator,
        "uart.cpp": source("uart.cpp"),
    }
    return compiled(sources, "uart.cpp", top="top", tell=progress)


@contextmanager
def running(simulator: Path, divisor: int, noise: Noise | None = None) -> Iterator[str]:
    """Runs a simulator; yields the name of the terminal at which its UART is.

    Parameters
    ----------
    simulator
        What :func:`build` returned.
    divisor
        Cycles per bit.
    noise
        On the lines; none by default.

    Raises
    ------
    SimulationError
        If the simulator ended by itself.
    """
    noise = noise or Noise()
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    figures = [f"{value:g}" for value in (noise.flip, noise.drop, noise.repeat)]
    arguments = [str(simulator), str(ours), str(divisor), *figures, str(noise.seed)]
    with subprocess.Popen(arguments, pass_fds=[ours], stderr=subprocess.PIPE, text=True) as process:
        os.close(ours)
        try:
            yield os.ttyname(theirs)
            if process.poll() is not None:
                said = process.stderr.read() if process.stderr is not None else ""
                raise SimulationError.of_log(said)
        finally:
            os.close(theirs)
            process.kill()
