import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from gen.unrolled.kernels import kernel, numbers, weights
from intarsia.bench_unrolled import Case, Row, _graphs, bench, cases, ratios
from intarsia.cli import main
from intarsia.unrolled_flows import FLOWS
from intarsia.unrolled_plots import plot

SMALL = Case("vector", "16", "exact", "4", 0.9, "xcup-ternary", 1)


def run(*arguments):
    return CliRunner().invoke(main, ["bench", "unrolled", *arguments])


def test_the_area_model_counts_what_yosys_counts():
    (measured,) = bench([SMALL], generators=("alkaid",))
    (model,) = bench([Case(**{**vars(SMALL), "flow": "model"})], generators=("alkaid",))
    assert measured.luts == model.luts > 0
    assert measured.mismatches == 0
    assert measured.adders == model.adders


def test_a_window_of_a_stream_is_simulated():
    case = Case("conv2d-rp", "S", "kratos", "1", 0.95, "lut4", 1)
    (row,) = bench([case], generators=("ours",))
    assert row.mismatches == 0
    assert 0 < row.ffs <= 2 * 64


def test_rows_and_ratios_on_the_command_line(tmp_path):
    table, rows = tmp_path / "rows.csv", tmp_path / "rows.json"
    done = run(
        *("--flow", "model", "--arithmetic", "exact", "--sparsity", "0.5", "--workers", "1"),
        *("--csv", str(table), "--json", str(rows), "--plots", str(tmp_path / "plots")),
    )
    assert done.exit_code == 0, done.output
    assert "ours-10x has 0." in done.output
    written = json.loads(rows.read_text())
    assert [row["generator"] for row in written] == ["da4ml", "alkaid", "ours", "ours-10x"]
    with table.open() as file:
        assert [int(row["luts"]) for row in csv.DictReader(file)] == [r["luts"] for r in written]
    assert (tmp_path / "plots" / "vector-16-exact-model.svg").read_text().startswith("<?xml")


def test_plots_by_sparsity_width_and_inputs_of_tables(tmp_path):
    shown = [
        Row("ours", "vector", "16", "kratos", width, zeros, 1, flow, 1, luts, *_REST)
        for width, zeros, flow, luts in (
            ("2", 0.5, "lut3", 120),
            ("2", 0.5, "lut6", 60),
            ("8", 0.5, "lut6", 700),
            ("8", 0.9, "lut6", 90),
            ("8", 1.0, "lut6", 0),
        )
    ]
    paths = {path.name: path.read_text() for path in plot(shown, tmp_path)}
    assert sorted(paths) == [
        "vector-16-kratos-lut3.svg",
        "vector-16-kratos-lut6-width.svg",
        "vector-16-kratos-lut6.svg",
        "vector-16-kratos-tables.svg",
    ]
    assert all(text.startswith("<?xml") for text in paths.values())
    assert "Kratos: about half" in paths["vector-16-kratos-tables.svg"]


_REST = (0, 0, None, 0, 9, 3, 0, 0.1)


def test_ratios_are_to_the_better_of_the_others():
    made = list(bench([Case(**{**vars(SMALL), "flow": "model"})]))
    luts = {row.generator: row.luts for row in made}
    expected = luts["ours"] / min(luts["da4ml"], luts["alkaid"])
    assert ratios(made)[0][1:] == ("ours", expected)


@pytest.mark.parametrize(("largest", "parts"), [(10**6, 1), (1, 16)])
def test_what_is_too_large_for_a_high_clock_is_made_in_parts(monkeypatch, largest, parts):
    monkeypatch.setattr("intarsia.unrolled_circuits.LARGEST", largest)
    case = Case("vector", "16", "kratos", "4", 0.5, "ecp5-fmax", 1)
    shape, kind = kernel("vector", "16"), numbers("kratos", "4")
    matrix = weights(shape.matrix, kind, 0.5, 1)
    ((graphs, _),) = _graphs(case, matrix, kind, ["ours"], 0.1).values()
    x = np.random.default_rng(1).integers(0, 16, (10, 16))
    made = np.hstack([graph.values(x) for graph in graphs])
    assert len(graphs) == parts
    assert (made == x @ matrix % 16).all()


def test_all_combinations():
    assert len(cases([("vector", "16")], widths=("8",), seeds=(1, 2))) == 2 * 5 * len(FLOWS) * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--flow", "asic"), "no flow is called 'asic'; there are xcup, xcup-ternary, ecp5,"),
        (("--generator", "hls"), "no generator is called 'hls'; there are array, plain,"),
        (("--kernel", "vector"), "no kernel is called 'vector/'; there are conv1d-fu/tiny,"),
        (("--kernel", "systolic/S", "--flow", "model"), "flow model has no systolic kernels"),
        (
            ("--kernel", "systolic/S", "--generator", "ours"),
            "in flow xcup-ternary: generators that can make it are array",
        ),
        (
            ("--generator", "plain"),
            "no row for kernel vector/16 in flow xcup-ternary: generators that can make",
        ),
        (("--scheduler", "nowhere"), "no Dask scheduler answers at --scheduler 'nowhere'"),
        (("--chips", "2"), "only flow ecp5-fmax takes a number of chips, not xcup"),
        (("--sparsity", "1.5"), "sparsity must be from 0 to 1, not 1.5"),
        (("--csv", "absent/rows.csv"), "--csv 'absent/rows.csv' lies in a folder that does not"),
    ],
)
def test_refusals(arguments, message):
    if "--scheduler" in arguments:
        pytest.importorskip("distributed")
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_ours_takes_the_seconds_that_it_is_given_and_needs_no_others():
    (case,) = cases(
        kernels=(("vector", "16"),),
        arithmetics=("exact",),
        widths=("8",),
        flows=("model",),
        sparsities=(0.9,),
    )
    (row,) = bench([case], generators=["ours"], seconds=0.5)
    assert row.generator == "ours"
    assert 0.3 < row.seconds_generate < 5
