"""``intarsia bench intar`` on a small kernel."""

import pytest

from gen.errors import UserError
from intarsia.bench_intar import bench


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
