"""The report of a synthesis: ``report.json`` and ``report.html``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2

from .parts import Part
from .synth import Outcome

__all__ = ["write"]

_NAMES = {
    "luts": "lookup tables",
    "luts_memory": "of them memory",
    "flip_flops": "flip-flops",
    "multipliers": "multipliers",
    "blocks": "block RAMs",
    "ultra": "UltraRAMs",
}


def _resources(outcome: Outcome, chip: Part | None) -> list[dict[str, Any]]:
    rows = []
    for key, value in asdict(outcome.area).items():
        has = getattr(chip, key, None) if chip is not None else None
        share = value / has if has else None
        used = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
        of = f"{has:,}" if has else ""
        rows.append({"name": _NAMES[key], "used": used, "has": of, "share": share})
    return rows


def write(
    folder: Path, outcome: Outcome, *, name: str, tool: str, title: str, chip: Part | None
) -> Path:
    """Writes both files into ``folder``; the page's path.

    Parameters
    ----------
    name, tool, title
        Of the design, the flow, and what it was made for.
    chip
        The part, where one was chosen.
    """
    data = {"name": name, "tool": tool, "chip": title, **outcome.as_json()}
    (folder / "report.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("synth.html").render(
        name=name,
        tool=tool,
        chip=title,
        resources=_resources(outcome, chip),
        routes=outcome.routes,
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
