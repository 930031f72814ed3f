"""``intarsia bench intar`` on a small kernel."""

import pytest
from click.testing import CliRunner

from gen.errors import UserError
from intarsia import intar_map
from intarsia.bench_intar import bench
from intarsia.cli import main
from intarsia.intar_map import map_rows, speedups


def test_a_core_for_each_task_is_exact_and_as_predicted():
    (row,) = bench(full=False, kernels=["ffn"], policies=["dataflow"])
    assert row["mismatches"] == 0
    assert row["cycles"] == row["predicted_cycles"] >= row["bound_cycles"] > 0
    assert len(row["cores"]) == 3
    assert row["multipliers"] <= 32
    assert row["offchip_bytes"] > 0


def test_a_policy_that_cannot_serve_a_kernel_says_why():
    (row,) = bench(full=False, kernels=["attention"], policies=["dataflow"])
    assert "cannot serve task 'scores'" in row["refused"]
    assert "whole beats of 64 bytes, 32 of 32 multipliers each" in row["refused"]
    assert "cycles" not in row


def test_unknown_kernels_and_policies_are_told():
    with pytest.raises(UserError, match="--kernel must be one of attention"):
        next(bench(full=False, kernels=["lstm"]))
    with pytest.raises(UserError, match="--policy must be one of sequential"):
        next(bench(full=False, policies=["best"]))


def no_word(words):
    """Progress of a run that only reads its rows back."""
    assert words.endswith("working set"), words


def test_rows_that_are_there_are_not_made_again():
    done = [
        {"kernel": "ffn", "scale": "small", "policy": "dataflow", "point": "A", "cycles": 1},
        {"kernel": "ffn", "scale": "full", "policy": "sequential", "point": "A", "cycles": 2},
    ]
    rows = bench(full=False, kernels=["ffn"], policies=["dataflow"], done=done)
    assert list(rows) == done[:1]


def test_a_file_that_has_no_rows_is_not_gone_on_with(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('{"kernel": "ffn"}')
    arguments = ["bench", "intar", "--resume", "--json", str(path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.strip().endswith("is no file of rows")
    assert path.read_text() == '{"kernel": "ffn"}'


def test_a_point_of_the_map_is_confirmed_in_rtl(monkeypatch):
    monkeypatch.setattr(intar_map, "SHARES", (8, 1))
    monkeypatch.setattr(intar_map, "BANDWIDTHS", (16,))
    rows = list(map_rows(["ffn"], full=False, confirm=1, progress=print))
    assert [(row["share"], row["policy"]) for row in rows] == [
        (share, policy) for share in (8, 1) for policy in ("sequential", "dataflow", "auto")
    ]
    (measured,) = [row for row in rows if "cycles" in row]
    assert measured["policy"] == "auto"
    assert measured["mismatches"] == 0
    assert abs(measured["cycles"] - measured["predicted_cycles"]) <= measured["cycles"] / 100
    # What is there already is not worked out again, a point that is not whole is.
    lost = [row for row in rows if row != rows[1]]
    again = map_rows(["ffn"], full=False, confirm=1, done=lost, progress=print)
    assert {**next(again), "cycles": 0} == {**rows[0], "cycles": 0}
    assert list(map_rows(["ffn"], full=False, confirm=1, done=rows, progress=no_word)) == rows
    for policy in ("sequential", "dataflow"):
        assert all(gain >= 1 for gain in speedups(rows, "ffn", policy).values())
