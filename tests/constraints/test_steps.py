"""Steps stop where a tool fails, say why, and go on from there."""

import sys

import pytest

from constraints.steps import Step, decisive_line, run
from gen.errors import ToolError


def script(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def quiet(words: str) -> None:
    pass


COPY = "import shutil, sys; shutil.copy('a', 'b'); print('copied')"


def test_a_step_is_not_run_again_until_something_changes(tmp_path):
    (tmp_path / "a").write_text("1")
    step = Step("copy", script(COPY), ("a",), ("b",))
    assert run(tmp_path, [step], quiet) == ("copy",)
    assert run(tmp_path, [step], quiet) == ()
    (tmp_path / "a").write_text("2")
    assert run(tmp_path, [step], quiet) == ("copy",)
    (tmp_path / "b").write_text("by hand")
    assert run(tmp_path, [step], quiet) == ("copy",)
    other = Step("copy", script(COPY + "#"), ("a",), ("b",))
    assert run(tmp_path, [other], quiet) == ("copy",)


def test_what_was_done_before_a_failure_stays_done(tmp_path):
    (tmp_path / "a").write_text("1")
    copy = Step("copy", script(COPY), ("a",), ("b",))
    fails = Step("place", script("print('ERROR: no room'); raise SystemExit(1)"), ("b",), ("c",))
    with pytest.raises(ToolError, match=r"place failed: no room \(log: .*place.log\)"):
        run(tmp_path, [copy, fails], quiet)
    mended = Step("place", script("open('c', 'w')"), ("b",), ("c",))
    assert run(tmp_path, [copy, mended], quiet) == ("place",)


def test_a_killed_tool_is_told_as_such(tmp_path):
    dies = Step("route", script("import os; os.kill(os.getpid(), 9)"), (), ("c",))
    with pytest.raises(ToolError, match="route was killed by signal 9; run it again"):
        run(tmp_path, [dies], quiet)


def test_a_tool_that_writes_nothing_failed(tmp_path):
    with pytest.raises(ToolError, match="pack did not write c"):
        run(tmp_path, [Step("pack", script("pass"), (), ("c",))], quiet)


def test_a_tool_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToolError, match="cannot run no-such-tool"):
        run(tmp_path, [Step("x", ("no-such-tool",), (), ())], quiet)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("Info: a\nERROR: Max frequency\n1 error", "Max frequency"),
        ("ERROR: [Place 30-58] no room\nmore", "[Place 30-58] no room"),
        ("a.v:3: error: unexpected token", "unexpected token"),
        ("Traceback\nValueError: bad\n", "ValueError: bad"),
        ("first\nlast\n", "last"),
        ("", "it said nothing"),
    ],
)
def test_the_decisive_line_of_a_log(log, line):
    assert decisive_line(log) == line


def test_progress_is_told(tmp_path):
    told = []
    step = Step("x", script("print('at 3/4')"), (), (), words=lambda line: line.strip())
    run(tmp_path, [step], told.append)
    assert told == ["x", "at 3/4"]
