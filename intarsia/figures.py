"""Matplotlib where it is installed: only the pictures of benchmarks need it."""

from importlib import import_module
from typing import Any

from gen.errors import UserError

__all__ = ["figure"]


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
