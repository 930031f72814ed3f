"""``intarsia bench intar`` on a small kernel."""

import pytest

from gen.errors import UserError
from intarsia import intar_map
from intarsia.bench_intar import bench
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
    assert "cycles" not in row


def test_unknown_kernels_and_policies_are_told():
    with pytest.raises(UserError, match="--kernel must be one of attention"):
        next(bench(full=False, kernels=["lstm"]))
    with pytest.raises(UserError, match="--policy must be one of sequential"):
        next(bench(full=False, policies=["best"]))


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
    for policy in ("sequential", "dataflow"):
        assert all(gain >= 1 for gain in speedups(rows, "ffn", policy).values())
