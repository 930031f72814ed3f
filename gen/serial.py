"""Saving and loading: the frozen dataclasses of every stage as JSON, their arrays beside it.

A value becomes ``name.json``, in field names and indented for people, and, where it holds arrays,
``name.npz``; an array is written as ``{"array": key}``. Decoding follows the declared type of each
field and refuses everything else, so what is loaded has the types that the code relies on. Nothing
is unpickled.
"""

import json
import types
import typing
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from . import graph as graphs
from .errors import UserError
from .graph import Graph, Task
from .schedule import Schedule
from .target import Target
from .timing import Prediction

__all__ = ["VERSION", "decode", "encode", "load", "save", "text"]

VERSION = 2
"""Of the file format; a file of another one is refused."""

MOST_ARRAY_BYTES = 1 << 32
"""Arrays of one file, decompressed; more can only be an attack or a mistake."""

LINE = 96

_ROOTS = {kind.__name__: kind for kind in (Graph, Target, Schedule, Prediction)}
_TASKS = {
    kind.__name__: kind
    for kind in (getattr(graphs, name) for name in graphs.__all__)
    if issubclass(kind, Task) and kind is not Task
}

T = TypeVar("T")


class _Damaged(Exception):
    """What is wrong, and where in the file."""


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def encode(value: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """``value`` as JSON types, and the arrays that it refers to by key.

    Parameters
    ----------
    value
        A Graph, Target, Schedule or Prediction.
    """
    arrays: dict[str, np.ndarray] = {}
    kind = type(value).__name__
    if kind not in _ROOTS:
        raise TypeError(f"value must be one of {', '.join(_ROOTS)}, not {kind}")
    head = {"type": kind, "version": VERSION}
    return head | _encoded(value, "", arrays), arrays


def _encoded(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    def inside(key: object, item: Any) -> Any:
        return _encoded(item, f"{path}.{key}" if path else str(key), arrays)

    if is_dataclass(value) and not isinstance(value, type):
        head = {"type": type(value).__name__} if isinstance(value, Task) else {}
        return head | {f.name: inside(f.name, getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, Mapping):
        return {str(key): inside(key, item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [inside(i, item) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    return value


def decode(data: Any, arrays: Mapping[str, np.ndarray], kind: type[T]) -> T:
    """The value that :func:`encode` took apart.

    Raises
    ------
    UserError
        If ``data`` is not a whole value of type ``kind``, naming the place.
    """
    try:
        if not isinstance(data, dict) or data.get("type") != kind.__name__:
            raise _Damaged(f"it holds no {kind.__name__}")
        if data.get("version") != VERSION:
            raise _Damaged(f"its format is version {data.get('version')}, not {VERSION}")
        rest = {key: item for key, item in data.items() if key not in ("type", "version")}
        return _decoded(rest, kind, kind.__name__, arrays)
    except _Damaged as error:
        raise UserError(str(error)) from None
    except RecursionError:
        raise UserError("it is nested too deeply") from None


def _decoded(data: Any, hint: Any, path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        (hint,) = (a for a in arguments if a is not type(None))
        return _decoded(data, hint, path, arrays)
    if is_dataclass(hint):
        return _instance(data, typing.cast(type, hint), path, arrays)
    if hint is np.ndarray:
        key = data.get("array") if isinstance(data, dict) and len(data) == 1 else None
        if not isinstance(key, str) or key not in arrays:
            raise _Damaged(f"{path} has no array")
        return arrays[key]
    if origin is tuple:
        return _tuple(data, arguments, path, arrays)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, dict):
            raise _Damaged(f"{path} is not a mapping")
        return {k: _decoded(v, arguments[1], f"{path}.{k}", arrays) for k, v in data.items()}
    if hint is float and type(data) is int:
        return float(data)
    if type(data) is not hint:
        raise _Damaged(f"{path} must be {hint.__name__}, not {_short(data)}")
    return data


def _tuple(data: Any, hints: tuple[Any, ...], path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(data, list):
        raise _Damaged(f"{path} is not a list")
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(data)
    if len(hints) != len(data):
        raise _Damaged(f"{path} has {len(data)} members, not {len(hints)}")
    pairs = enumerate(zip(data, hints, strict=True))
    return tuple(_decoded(item, hint, f"{path}.{i}", arrays) for i, (item, hint) in pairs)


def _instance(data: Any, kind: type, path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(data, dict):
        raise _Damaged(f"{path} is not a {kind.__name__}")
    if kind is Task:
        name = data.get("type")
        if not isinstance(name, str) or name not in _TASKS:
            raise _Damaged(f"{path} is a task of unknown type {_short(name)}")
        kind = _TASKS[name]
        data = {key: item for key, item in data.items() if key != "type"}
    hints = _hints(kind)
    for name in data:
        if name not in hints:
            raise _Damaged(f"{path} has an unknown member '{name}'")
    for f in fields(kind):
        if f.name not in data and f.default is MISSING and f.default_factory is MISSING:
            raise _Damaged(f"{path} lacks '{f.name}'")
    values = {k: _decoded(v, hints[k], f"{path}.{k}", arrays) for k, v in data.items()}
    return kind(**values)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."


def text(data: Any, indent: int = 0) -> str:
    """JSON types as JSON, indented; what fits on a line stays on one."""
    flat = json.dumps(data, ensure_ascii=False)
    if not isinstance(data, dict | list) or not data or len(flat) + indent <= LINE:
        return flat
    pad = " " * (indent + 2)
    if isinstance(data, dict):
        parts = [
            f"{json.dumps(k, ensure_ascii=False)}: {text(v, indent + 2)}" for k, v in data.items()
        ]
        return "{\n" + ",\n".join(pad + part for part in parts) + "\n" + " " * indent + "}"
    parts = [text(item, indent + 2) for item in data]
    return "[\n" + ",\n".join(pad + part for part in parts) + "\n" + " " * indent + "]"


def save(value: Any, path: Path) -> None:
    """Write ``value`` to ``path`` (``.json``), and its arrays to the ``.npz`` beside it."""
    data, arrays = encode(value)
    path.write_text(text(data) + "\n", encoding="utf-8")
    if arrays:
        with path.with_suffix(".npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)


def load(path: Path, kind: type[T]) -> T:
    """Read what :func:`save` wrote.

    Raises
    ------
    UserError
        If a file is absent, damaged, of another version, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return decode(data, _arrays(path.with_suffix(".npz")), kind)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from error
    except UserError as error:
        raise UserError(f"'{path}' is damaged: {error}; compile the model again") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else "not JSON"
        raise UserError(f"'{path}' is damaged: {reason}; compile the model again") from None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MOST_ARRAY_BYTES:
                raise UserError(f"'{path.name}' would take {size} bytes")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise UserError(f"'{path.name}' holds '{name}', which is no array")
        return arrays
    except UserError:
        raise
    except (ValueError, EOFError, KeyError, MemoryError, OverflowError, NotImplementedError) as e:
        raise UserError(f"'{path.name}' holds no arrays ({type(e).__name__})") from None
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError):
        raise UserError(f"'{path.name}' is not an archive of arrays") from None
