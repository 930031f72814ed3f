"""Renders the testbench that surrounds an accelerator, and reads the traces that it writes."""

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import jinja2

__all__ = ["read_trace", "render_testbench"]


def _axi_signals(data_bytes: int) -> list[tuple[str, int, str]]:
    """Direction (as the master sees it), width and name of the signals of one AXI4 channel."""
    address = [("addr", 32), ("len", 8), ("size", 3), ("burst", 2), ("valid", 1)]
    return [
        *[("output", width, f"ar{name}") for name, width in address],
        ("input", 1, "arready"),
        ("input", 8 * data_bytes, "rdata"),
        ("input", 2, "rresp"),
        ("input", 1, "rlast"),
        ("input", 1, "rvalid"),
        ("output", 1, "rready"),
        *[("output", width, f"aw{name}") for name, width in address],
        ("input", 1, "awready"),
        ("output", 8 * data_bytes, "wdata"),
        ("output", data_bytes, "wstrb"),
        ("output", 1, "wlast"),
        ("output", 1, "wvalid"),
        ("input", 1, "wready"),
        ("input", 2, "bresp"),
        ("input", 1, "bvalid"),
        ("output", 1, "bready"),
    ]


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def render_testbench(
    *,
    channels: int,
    data_bytes: int,
    memory_bytes: int,
    throttles: int = 0,
    stores: bool = False,
    events: Sequence[str] = (),
    latency: int = 64,
    outstanding: int = 16,
) -> str:
    """SystemVerilog of a top ``testbench`` around a module ``accelerator``.

    Parameters
    ----------
    channels
        AXI4 masters of the accelerator, ``m_axi0`` and on.
    data_bytes
        Width of each of their data buses, a power of two up to 128.
    memory_bytes
        Size of the one memory that all channels see, a multiple of ``data_bytes``.
    throttles
        Width of the accelerator's ``throttle`` input, 0 when it has none. Each bit is 1 with
        probability 0.5 per cycle when ``seed`` is not 0.
    stores
        With the plusarg ``stores=FILE``, write a line for each cycle with ``dut.store_valid``.
    events
        Names of signals of the accelerator, dotted when deeper. With the plusarg
        ``events=FILE``, write a line for each cycle in which any of them is not 0.
    latency
        Cycles from the AR handshake to the first R beat.
    outstanding
        Bursts that a channel accepts before it answers one, in each direction.

    Returns
    -------
    str
        The source. It instantiates ``axi_memory`` of ``sim/axi_memory.sv``.

    Raises
    ------
    ValueError
        When a parameter is outside its range.
    """
    if channels < 1:
        raise ValueError(f"channels must be positive, not {channels!r}")
    if not _power_of_two(data_bytes) or data_bytes > 128:
        raise ValueError(f"data_bytes must be a power of two up to 128, not {data_bytes!r}")
    if memory_bytes < 2 * data_bytes or memory_bytes % data_bytes or memory_bytes > 1 << 31:
        raise ValueError(
            f"memory_bytes must be a multiple of {data_bytes} from two beats to 2 GB, "
            f"not {memory_bytes!r}"
        )
    if throttles < 0:
        raise ValueError(f"throttles must not be negative, not {throttles!r}")
    if latency < 2 or outstanding < 1:
        raise ValueError(
            f"latency must be at least 2 and outstanding at least 1, "
            f"not {latency!r} and {outstanding!r}"
        )
    template = resources.files("sim").joinpath("testbench.sv").read_text()
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.from_string(template).render(
        channels=channels,
        data_bytes=data_bytes,
        memory_bytes=memory_bytes,
        index_bits=(memory_bytes // data_bytes - 1).bit_length(),
        throttles=throttles,
        throttle_words=-(-throttles // 32),
        stores=stores,
        events=list(events),
        latency=latency,
        outstanding=outstanding,
        axi=_axi_signals(data_bytes),
    )


def read_trace(path: Path) -> Iterator[tuple[int, ...]]:
    """Rows of a store trace or an event trace.

    Yields
    ------
    tuple of int
        For a store trace the cycle, buffer, address, count and data of one store; for an event
        trace the cycle and then one value per listed signal. Cycles count from the beginning of
        the simulation, as does ``start`` in the result of a run.
    """
    with path.open() as file:
        for line in file:
            yield tuple(int(word, 16) for word in line.split())
