"""Matplotlib where it is installed: only the pictures of benchmarks need it."""

from importlib import import_module
from pathlib import Path
from typing import Any

from gen.errors import UserError

__all__ = ["figure", "saved"]


def figure(width: float, height: float) -> Any:
    """An empty figure of so many inches, which needs no display.

    Raises
    ------
    UserError
        If Matplotlib is not installed.
    """
    try:
        module: Any = import_module("matplotlib.figure")
    except ImportError as error:
        raise UserError("Matplotlib is not installed: pip install matplotlib") from error
    return module.Figure(figsize=(width, height), layout="constrained")


def saved(page: Any, folder: Path, name: str) -> Path:
    """The SVG file of a figure in ``folder``, which is made if it does not exist. It bears no date,
    so that the same picture is the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.svg"
    page.savefig(path, metadata={"Date": None})
    return path
