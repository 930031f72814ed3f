"""Cache: what a compiler made, kept in the user's folder and used again where nothing changed."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from .errors import UserError

__all__ = ["cached", "compiler"]

KEPT = 128
"""Entries; those that were used least recently go."""


def compiler() -> str | None:
    """The C++ compiler that ``CXX`` names, or the first that is there, if there is one."""
    chosen = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    return chosen if chosen is not None and shutil.which(chosen) is not None else None


def _cache_root() -> Path:
    chosen = os.environ.get("INTARSIA_CACHE")
    root = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("intarsia"))
    if re.search(r"\s", str(root.resolve())):
        raise UserError(
            f"the cache folder {root} has a space in its name, which make cannot handle: "
            "set INTARSIA_CACHE to another folder"
        )
    builds = root.resolve() / "builds"
    builds.mkdir(parents=True, exist_ok=True)
    return builds


def cached(parts: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Folder that ``make`` filled for these parts, now or at some earlier time.

    Only one process at a time makes an entry, in a folder that is renamed when complete; what an
    interrupted one leaves is removed before the next attempt.

    Parameters
    ----------
    parts
        Everything on which the contents depend, as JSON types.
    make
        Called with an empty folder.

    Returns
    -------
    Path
        The folder, not to be written to.

    Raises
    ------
    UserError
        If the cache folder cannot serve.
    """
    root = _cache_root()
    text = json.dumps(parts, sort_keys=True)
    entry = root / hashlib.sha256(text.encode()).hexdigest()[:24]
    if not entry.is_dir():
        partial = entry.with_suffix(".partial")
        with entry.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not entry.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                try:
                    make(partial)
                    partial.rename(entry)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
                _evict(root)
    with contextlib.suppress(OSError):
        os.utime(entry)
    return entry


def _evict(root: Path) -> None:
    """Forget the entries that were used least recently."""
    dated = []
    for entry in root.iterdir():
        with contextlib.suppress(OSError):
            if entry.suffix not in (".partial", ".lock"):
                dated.append((entry.stat().st_mtime, entry))
    for _, entry in sorted(dated, reverse=True)[KEPT:]:
        shutil.rmtree(entry, ignore_errors=True)
        entry.with_suffix(".lock").unlink(missing_ok=True)
