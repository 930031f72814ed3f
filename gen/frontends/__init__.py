"""Model files to Graph: one module per file format."""

import os
from pathlib import Path

from ..errors import UserError
from ..graph import Graph

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Graph:
    """Read a quantised model, by the format that its suffix or its first bytes tell.

    Parameters
    ----------
    path
        A ``.tflite`` or ``.onnx`` file.

    Raises
    ------
    UserError
        If the file cannot be read, is of another kind, or holds a model that is not supported.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        from . import onnx

        return onnx.load(path)
    if suffix == ".tflite" or _head(path)[4:8] == b"TFL3":
        from . import tflite

        return tflite.load(path)
    raise UserError(
        f"'{path}' is not a model file that can be read; pass a quantised .tflite or .onnx file"
    )


def _head(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(8)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from error
