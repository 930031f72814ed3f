"""The command ``intarsia bench intar``."""

import json
from pathlib import Path
from typing import Any

import click

from gen.errors import UserError

__all__ = ["intar"]

SHOWN = (
    *("kernel", "point", "policy", "multipliers", "multipliers_other", "bound_cycles"),
    *("predicted_cycles", "cycles", "efficiency", "onchip_bytes", "mismatches"),
)


@click.command()
@click.option("--full", is_flag=True, help="The published shapes, which take hours in RTL.")
@click.option("--kernel", "kernels", multiple=True, help="attention, ffn, cnn, vae, gating, ...")
@click.option("--policy", "policies", multiple=True, help="sequential, dataflow, auto.")
@click.option("--point", "points", multiple=True, help="A: ample memory; B: scarce.")
@click.option("--map", "mapped", is_flag=True, help="Predict over memory and bandwidth instead.")
@click.option("--confirm", type=click.IntRange(0), help="Points of the map to run in RTL.")
@click.option("--json", "json_path", type=click.Path(), help="Write the rows as JSON.")
@click.option("--resume", is_flag=True, help="Keep the rows that the file of --json has.")
@click.option("--plots", type=click.Path(), help="Draw each kernel's schedules into this folder.")
@click.pass_context
def intar(
    context: click.Context,
    full: bool,
    kernels: tuple[str, ...],
    policies: tuple[str, ...],
    points: tuple[str, ...],
    mapped: bool,
    confirm: int | None,
    json_path: str | None,
    resume: bool,
    plots: str | None,
) -> None:
    """Measure InTAR's kernels and MobileNet under each policy, in RTL.

    \b
    Example:  intarsia bench intar --kernel ffn --full
              intarsia bench intar --json rows.json
              intarsia bench intar --full --map --confirm 6 --kernel cnn --plots pictures
    A file of rows grows with every design, and --resume goes on where it ends. Status 1 if an
    output differs.
    """
    from .bench_intar import MULTIPLIERS, bench
    from .intar_map import draw, map_rows
    from .terminal import progress, say, show

    if json_path is not None and not Path(json_path).absolute().parent.is_dir():
        raise UserError(f"--json '{json_path}' lies in a folder that does not exist")
    if confirm is not None and not mapped:
        raise UserError("--confirm runs points of the map in RTL: add --map")
    if resume and json_path is None:
        raise UserError("--resume goes on with a file of rows: name it with --json")
    done = _rows(Path(json_path)) if resume and json_path is not None else []
    rows: list[dict[str, Any]] = []
    with progress() as tell:
        common: dict[str, Any] = {"full": full, "done": done, "progress": tell}
        source = bench(kernels=kernels, policies=policies, points=points, **common)
        if mapped:
            source = map_rows(kernels or tuple(MULTIPLIERS), confirm=confirm or 0, **common)
        for row in source:
            rows.append(row)
            if json_path is not None:
                _write(Path(json_path), rows + [row for row in done if row not in rows])
    if mapped:
        for path in draw(rows, Path(plots)) if plots is not None else ():
            say(f"wrote {path}")
        _summary(rows)
        context.exit(1 if any(row.get("mismatches") for row in rows) else 0)
    for row in rows:
        if "refused" in row:
            say(f"{row['kernel']}, {row['point']}, {row['policy']}: {row['refused']}")
    rows = [row for row in rows if "refused" not in row]
    headings = (*SHOWN[:3], *(f">{name}" for name in SHOWN[3:]))
    show("kernels in RTL", headings, [tuple(row[name] for name in SHOWN) for row in rows])
    for row in rows:
        gap = row["gap_cycles"]
        say(
            f"{row['kernel']}, {row['point']}, {row['policy']}: {' + '.join(row['cores'])}, "
            f"{row['pattern_changes']} changes of pattern, gaps {gap['median']:g} (median) and "
            f"{gap['maximum']} (most) cycles"
        )
    if plots is not None:
        from .intar_plots import plot

        for path in plot(rows, Path(plots)):
            say(f"wrote {path}")
    context.exit(1 if any(row["mismatches"] for row in rows) else 0)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, none if it is not there yet."""
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"--json '{path}' is no file of rows: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--json '{path}' is no file of rows")
    return rows


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replaces a file as a whole, so that whoever interrupts it keeps the old one."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def _summary(rows: list[dict[str, Any]]) -> None:
    """Where ``auto`` gains most over each of the other policies."""
    from .intar_map import speedups
    from .terminal import say

    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        measured = [row for row in rows if row["kernel"] == kernel and "cycles" in row]
        if measured:
            off = max(abs(row["cycles"] / row["predicted_cycles"] - 1) for row in measured)
            wrong = sum(row["mismatches"] for row in measured)
            say(
                f"{kernel}: {len(measured)} points in RTL, {wrong} outputs differ, cycles within "
                f"{off:.2%} of those predicted"
            )
        for policy in ("sequential", "dataflow"):
            gains = speedups(rows, kernel, policy)
            if gains:
                (share, width), most = max(gains.items(), key=lambda pair: pair[1])
                say(
                    f"{kernel}: auto up to {most:.2f} x as quick as {policy}, at 1/{share} of the "
                    f"working set and {width} bytes per cycle"
                )
