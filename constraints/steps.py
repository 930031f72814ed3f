"""Steps: commands of tools, run in order in a folder that stays resumable."""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gen.errors import ToolError

__all__ = ["Step", "decisive_line", "run"]

_PATTERNS = (
    r"^(?:ERROR|FATAL)\b:?\s*(.*)",
    r"^(?:CRITICAL WARNING): *(.*)",
    r"^.*\b[Ee]rror: *(.*)",
    r"^(?:\w+Error: .*)",
)


def _silent(line: str) -> str | None:
    return None


@dataclass(frozen=True)
class Step:
    """One command.

    Parameters
    ----------
    name
        What it does, one word; its log is ``<name>.log``.
    command
        Program and arguments; paths are relative to the folder.
    inputs, outputs
        Files that it reads and writes. A step whose command, inputs and outputs are as they were
        when it last succeeded is not run again.
    words
        Turns a line of its log into words of progress, or None.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    words: Callable[[str], str | None] = _silent

    @property
    def log(self) -> str:
        return f"{self.name}.log"


def decisive_line(log: str) -> str:
    """The line of a log that says why its tool failed."""
    for pattern in _PATTERNS:
        if found := re.search(pattern, log, re.MULTILINE):
            return " ".join((found[1] if found.groups() else found[0]).split())
    lines = log.strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


def _state(step: Step, folder: Path) -> str:
    """What the command and all of its files are now."""
    digest = hashlib.sha256(json.dumps(step.command).encode())
    for name in (*step.inputs, *step.outputs):
        path = folder / name
        digest.update(path.read_bytes() if path.is_file() else b"absent")
    return digest.hexdigest()


def run(folder: Path, steps: Sequence[Step], progress: Callable[[str], None]) -> tuple[str, ...]:
    """Run the steps that are not done yet; names of those that ran.

    Raises
    ------
    ToolError
        If one fails, is killed, or does not write what it should. What was done stays.
    """
    ran = []
    for step in steps:
        stamp = folder / f".{step.name}.done"
        if stamp.is_file() and stamp.read_text() == _state(step, folder):
            continue
        stamp.unlink(missing_ok=True)
        progress(step.name)
        _execute(folder, step, progress)
        stamp.write_text(_state(step, folder))
        ran.append(step.name)
    return tuple(ran)


def _execute(folder: Path, step: Step, progress: Callable[[str], None]) -> None:
    log = folder / step.log
    try:
        process = subprocess.Popen(
            step.command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ToolError(f"cannot run {step.command[0]}: {error.strerror}") from error
    with log.open("w", encoding="utf-8") as record, process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                record.write(line)
                if words := step.words(line):
                    progress(words)
        except BaseException:
            process.kill()
            raise
    status = process.returncode
    if status < 0:
        raise ToolError(f"{step.name} was killed by signal {-status}; run it again (log: {log})")
    if status:
        said = decisive_line(log.read_text(encoding="utf-8"))
        raise ToolError(f"{step.name} failed: {said} (log: {log})")
    absent = [name for name in step.outputs if not (folder / name).is_file()]
    if absent:
        raise ToolError(f"{step.name} did not write {absent[0]} (log: {log})")
