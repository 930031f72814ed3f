"""``intarsia bench intar --map``: where it pays to change how tasks run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from examples.intar import KERNELS
from gen.compile import Compiled, compile_graph
from gen.errors import UserError
from gen.policy import POLICIES
from gen.target import Target

from .bench_intar import MULTIPLIERS, among
from .design import Design
from .figures import figure, saved

__all__ = ["draw", "map_rows", "speedups"]

BANDWIDTHS = (4, 8, 16, 32, 64)
"""Bytes per cycle."""

SHARES = (16, 8, 4, 2, 1)
"""Of the memory that holds every tensor at once, one part in so many."""

PLENTY = 4 << 20

SPREAD = (
    *((16, 4), (16, 64), (8, 16), (4, 8), (4, 32), (2, 4), (2, 16), (2, 64)),
    *((1, 4), (1, 8), (1, 16), (1, 64)),
)
"""Points, as shares and bandwidths, that may be run in RTL: the first that a policy serves."""


def map_rows(
    kernels: Sequence[str],
    *,
    full: bool,
    confirm: int = 0,
    done: Sequence[Mapping[str, Any]] = (),
    progress: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """For each kernel, bandwidth, on-chip memory and policy the predicted cycles, or why there are
    none.

    The memory is a share of what ``sequential`` takes where it may keep every tensor on chip.

    Parameters
    ----------
    confirm
        So many of each kernel's points, spread over the map, also run in RTL under ``auto``: their
        rows have ``cycles`` and ``mismatches``.
    done
        Rows of an earlier run; points that have all of theirs are not worked out again.

    Raises
    ------
    UserError
        If there is no such kernel.
    """
    among("kernel", kernels, KERNELS)
    scale = "full" if full else "small"
    for name in kernels:
        kernel = KERNELS[name](scale=scale, seed=1)
        graph, left = kernel.graph, confirm
        plenty = Target(MULTIPLIERS[name], onchip_bytes=PLENTY, offchip_bytes_per_cycle=64)
        progress(f"{name}: working set")
        whole = compile_graph(graph, plenty).schedule.onchip_bytes
        for share in SHARES:
            for bandwidth in BANDWIDTHS:
                target = replace(
                    plenty, onchip_bytes=whole // share, offchip_bytes_per_cycle=bandwidth
                )
                point = {
                    "kernel": name,
                    "scale": scale,
                    "onchip_bytes": target.onchip_bytes,
                    "share": share,
                    "bandwidth": bandwidth,
                }
                rows = [dict(row) for row in done if point.items() <= row.items()]
                if len(rows) == len(POLICIES):
                    left -= sum("cycles" in row for row in rows)
                    yield from rows
                    continue
                known: list[Compiled] = []
                for policy in POLICIES:
                    progress(f"{name}, 1/{share} of {whole:,} bytes, {bandwidth} B, {policy}")
                    row: dict[str, Any] = point | {"policy": policy}
                    try:
                        # ``auto`` comes last.
                        made = compile_graph(graph, target, policy=policy, known=known)
                    except UserError as error:
                        yield row | {"refused": str(error)}
                        continue
                    known.append(made)
                    row["predicted_cycles"] = made.prediction.cycles
                    if left > 0 and policy == "auto" and (share, bandwidth) in SPREAD:
                        row |= _measured(made, kernel.inputs, progress)
                        left -= 1
                    yield row


def _measured(
    made: Compiled, inputs: Mapping[str, Any], progress: Callable[[str], None]
) -> dict[str, int]:
    """Cycles in RTL, and how many outputs differ from golden."""
    design = Design(made.graph, made.target, made.schedule, made.prediction)
    simulation = design.simulate(inputs, progress=progress)
    return {"cycles": simulation.runs[0].cycles, "mismatches": simulation.mismatches}


def speedups(
    rows: Sequence[Mapping[str, Any]], kernel: str, policy: str
) -> dict[tuple[int, int], float]:
    """By share and bandwidth, the cycles of ``policy`` over those of ``auto``; none where either
    refuses."""
    cycles = {
        (r["share"], r["bandwidth"], r["policy"]): r["predicted_cycles"]
        for r in rows
        if r["kernel"] == kernel and "refused" not in r
    }
    return {
        (share, width): cycles[share, width, policy] / cycles[share, width, "auto"]
        for share in SHARES
        for width in BANDWIDTHS
        if {(share, width, policy), (share, width, "auto")} <= cycles.keys()
    }


def draw(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """A picture for each kernel: how much quicker ``auto`` is than each of the other policies.

    Raises
    ------
    UserError
        If Matplotlib is not installed.
    """
    paths = []
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        page = figure(11, 4.2)
        axes = page.subplots(1, 2)
        for ax, policy, published in zip(axes, ("sequential", "dataflow"), (7.1, 1.8), strict=True):
            _panel(ax, speedups(rows, kernel, policy))
            ax.set_title(f"{kernel}: auto over {policy} (InTAR publishes {published} x)")
        paths.append(saved(page, folder, f"map-{kernel}"))
    return paths


def _panel(ax: Any, found: Mapping[tuple[int, int], float]) -> None:
    """A cell for each point, the darker the greater the gain; empty where a policy refuses."""
    for (share, width), gain in found.items():
        x, y = BANDWIDTHS.index(width), SHARES.index(share)
        shade = min(1.0, 0.08 + (gain - 1) / 6)
        ax.bar(x, 1, 1, bottom=y - 0.5, color=(0.05, 0.35, 0.6), alpha=shade, linewidth=0)
        ax.text(
            x, y, f"{gain:.2f}", ha="center", va="center", color="white" if shade > 0.6 else "black"
        )
    ax.set_xlim(-0.5, len(BANDWIDTHS) - 0.5)
    ax.set_ylim(-0.5, len(SHARES) - 0.5)
    ax.set_xticks(range(len(BANDWIDTHS)), [str(n) for n in BANDWIDTHS])
    ax.set_yticks(range(len(SHARES)), [f"1/{n}" if n > 1 else "all" for n in SHARES])
    ax.set_xlabel("off-chip bytes per cycle")
    ax.set_ylabel("on-chip memory, of the working set")
