"""The command line: what a user gets for good input, and the one line for bad input."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from intarsia.cli import main

from ..onnx_models import DATA, Net
from ..tflite_models import ModelBuilder

VERBS = (
    *("check", "quantize", "prune", "compile", "unroll", "simulate", "report", "doctor", "bench"),
    "demo",
)


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refusal(*arguments: Any) -> str:
    """The one line on standard error of a command whose input is bad."""
    result = run(*arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("intarsia: ")
    assert "Traceback" not in result.output
    return lines[0]


# Good input


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps_with_an_example(verb):
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert f"Example:  intarsia {verb}" in result.stdout


def test_without_a_verb_all_are_listed():
    result = run()
    assert result.exit_code == 0
    assert all(verb in result.stdout for verb in VERBS)


def test_check_shows_every_task_and_builds_nothing(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("check", model)
    assert result.exit_code == 0
    assert re.search(r"1x6x6x2 → 1x6x6x8 +│ +5,184 │ +176 │ +72 │ +288 │ yes", result.stdout)
    assert "yes, as a view" in result.stdout
    assert "3 tasks, 6,624 MACs" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_compile_then_simulate_agrees_with_golden_and_prediction(model, tmp_path):
    folder = tmp_path / "out"
    made = run("compile", model, "-o", folder, "--multipliers", 16)
    assert made.exit_code == 0, made.output
    cycles = json.loads((folder / "prediction.json").read_text())["cycles"]
    assert f"{cycles:,} cycles predicted" in made.stdout
    image = np.random.default_rng(0).integers(-128, 128, (2, 6, 6, 2), dtype=np.int8)
    np.save(tmp_path / "x.npy", image)
    result = run("simulate", folder, "--input", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    assert "0 mismatches in 2 run(s)" in result.stdout
    assert result.stdout.count(f"{cycles:,}") == 2


def test_simulate_fails_with_status_1_when_rtl_differs_from_golden(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "graph.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["tasks.0.bias"] = arrays["tasks.0.bias"] + 5000
    np.savez(path, **arrays)
    result = run("simulate", tmp_path / "copy")
    assert result.exit_code == 1, result.output
    assert re.search(r"[1-9]\d* mismatches", result.stdout)


def test_board_sets_the_budget_and_options_change_it(model, tmp_path):
    folder = tmp_path / "out"
    result = run("compile", model, "-o", folder, "--board", "pynq-z2", "--multipliers", 8)
    assert result.exit_code == 0, result.output
    target = json.loads((folder / "target.json").read_text())
    assert target["multipliers"] == 8
    assert target["offchip_bytes_per_cycle"] == 8


def test_quantize_writes_a_model_that_maps(tmp_path):
    weights = helper.make_tensor("w", TensorProto.FLOAT, (3, 4), np.linspace(-1, 1, 12))
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, k)) for n, k in ("x4", "y3")]
    for one, width in zip(info, (4, 3), strict=True):
        one.type.tensor_type.shape.dim[1].dim_value = width
    node = helper.make_node("Gemm", ["x", "w"], ["y"], "product", transB=1)
    graph = helper.make_graph([node], "g", info[:1], info[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(model, tmp_path / "float.onnx")
    samples = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=samples)
    out = tmp_path / "int8.onnx"
    result = run(
        "quantize", tmp_path / "float.onnx", "--calibration", tmp_path / "samples.npz", "-o", out
    )
    assert result.exit_code == 0, result.output
    assert run("check", out).exit_code == 0


def test_doctor_finds_what_is_installed():
    result = run("doctor")
    assert re.search(r"verilator +│ simulates +│ yes +│ 5\.", result.stdout)
    assert re.search(r"nextpnr-ecp5", result.stdout)


def test_report_writes_a_page_beside_the_design(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    result = run("report", tmp_path / "copy")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "copy" / "report.json").read_text())
    assert "<html" in (tmp_path / "copy" / "report.html").read_text()


# Bad models


def tflite(folder: Path, kind: str = "RELU", **fields: Any) -> Path:
    b = ModelBuilder()
    x = b.tensor((1, 4), name="pixels", **({"scale": 0.1, "zero_point": 0} | fields))
    y = b.tensor((1, 4), scale=0.1, zero_point=0, name="result")
    b.op(kind, [x], [y])
    path = folder / "model.tflite"
    path.write_bytes(b.finish([x], [y]))
    return path


def _unsupported(folder: Path) -> Path:
    return tflite(folder, "SIN")


def _dynamic(folder: Path) -> Path:
    net = Net()
    q = net.quantise(net.node("Relu", [net.real((1, 4, 6, 6))]), 0.1, 0)
    model = net.integer_model([q])
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save_model(model, folder / "model.onnx")
    return folder / "model.onnx"


def _float_onnx(folder: Path) -> Path:
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 4)) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", info[:1], info[1:])
    onnx.save_model(helper.make_model(graph), folder / "model.onnx")
    return folder / "model.onnx"


def _float_tflite(folder: Path) -> Path:
    return tflite(folder, type="FLOAT32", scale=None)


def _truncated(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes((DATA / "digits_int8.onnx").read_bytes()[:9000])
    return path


def _hostile(folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(b"\xff\xff\xff\x7fTFL3" + bytes(range(256)))
    return path


def _another_kind(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(b"\x89HDF")
    return path


BAD_MODELS = {
    _unsupported: r"operator 0 SIN \('result'\).*not supported",
    _dynamic: r"input 'x0' has a dynamic dimension \(height, axis 2\)",
    _float_onnx: "float model without quantisation.*intarsia quantize",
    _float_tflite: "'pixels' of model input is float32; quantise it to int8",
    _truncated: "model.onnx",
    _hostile: "model.tflite",
    _another_kind: "model.h5' is not a model file",
    lambda folder: tflite(folder, scale=None): "pixels.*no scale",
    lambda folder: tflite(folder, scale=0.0): "pixels.*scale.*greater than zero",
    lambda folder: tflite(folder, scale=float("nan")): "pixels.*scale.*finite",
    lambda folder: folder / "absent.tflite": "cannot read '.*absent.tflite': No such file",
}


@pytest.mark.parametrize("verb", ["check", "compile"])
@pytest.mark.parametrize("number", range(len(BAD_MODELS)))
def test_a_bad_model_gets_one_line_and_leaves_nothing(tmp_path, verb, number):
    make, message = list(BAD_MODELS.items())[number]
    out = tmp_path / "out"
    out.mkdir()
    line = refusal(verb, make(tmp_path), *(["-o", out / "design"] if verb == "compile" else []))
    assert re.search(message, line), line
    assert list(out.iterdir()) == []


# Bad arguments


def test_a_budget_too_small_is_told_one_that_suffices(tmp_path):
    compile_it = ("compile", DATA / "digits_int8.onnx", "-o", tmp_path / "out", "--multipliers", 8)
    line = refusal(*compile_it, "--onchip", 1)
    assert "--onchip 1 is too small for 'digits_int8'" in line
    found = re.search(r"--onchip (\d+) would suffice", line)
    assert found, line
    assert list(tmp_path.iterdir()) == []
    made = run(*compile_it, "--onchip", found[1])
    assert made.exit_code == 0, made.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--board", "artix"), "--board 'artix' is not known; known boards, closest first: arty"),
        (("--multipliers", 1), "--multipliers must be at least 2, not 1"),
        (("--multipliers", "many"), "'--multipliers': 'many' is not a valid integer"),
        (("--onchip", 0), "--onchip must be at least 1 KB"),
        (("--offchip", 5), "--offchip must be 4, 8, 16, 32 or 64 bytes per cycle, not 5"),
        (("--channels", 3), "--channels must be 1 or 2, not 3"),
        (("--memory", "disk"), "--memory must be rom or ram, not 'disk'"),
        (("--unroll", "nothing"), "--unroll names no task 'nothing'; there are "),
        (("--luts", -1), "--luts must not be negative, but is -1"),
        (("--speed", 3), "No such option"),
    ],
)
def test_a_bad_option_of_compile_is_named(model, tmp_path, options, message):
    assert message in refusal("compile", model, "-o", tmp_path / "out", *options)
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_exists_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    line = refusal("compile", "absent.tflite", "-o", tmp_path / "out")
    assert line.endswith("out' exists; give another folder, or remove it first")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_output_folder_without_a_parent_is_refused(model, tmp_path):
    assert "is not a folder" in refusal("compile", model, "-o", tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 5, 6, 2), np.int8), r"'image' must have shape \(1, 6, 6, 2\)"),
        (np.zeros((1, 6, 6, 2), np.int32), "'image' must be int8, or float .* not int32"),
        (np.array([{}], object), "is not a file of numbers; write it with numpy.save"),
    ],
)
def test_a_bad_input_of_simulate_is_named(folder, tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    line = refusal("simulate", folder, "--input", tmp_path / "x.npy")
    assert re.search(message, line), line


def test_an_absent_input_of_simulate_is_named(folder):
    assert "cannot read --input 'no.npy'" in refusal("simulate", folder, "--input", "no.npy")


@pytest.mark.parametrize("verb", ["simulate", "report"])
def test_a_folder_that_is_no_design_is_refused(verb, tmp_path):
    line = refusal(verb, tmp_path)
    assert "is not a compiled design: graph.json is missing; make one with: intarsia" in line
    assert "is not a folder" in refusal(verb, tmp_path / "absent")


def test_a_truncated_design_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "schedule.json"
    path.write_text(path.read_text()[:500])
    line = refusal("simulate", tmp_path / "copy")
    assert "schedule.json' is damaged: not JSON; compile the model again" in line


def test_a_bad_calibration_of_quantize_is_named(tmp_path):
    model, data = _float_onnx(tmp_path), tmp_path / "samples.npz"
    np.savez(data, other=np.zeros((3, 4)))
    out = tmp_path / "int8.onnx"
    line = refusal("quantize", model, "--calibration", data, "-o", out)
    assert "have no array for input 'x'" in line
    assert not out.exists()


def test_a_benchmark_without_its_models_says_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("INTARSIA_MODELS", str(tmp_path / "absent"))
    assert "set INTARSIA_MODELS to the folder" in refusal("bench", "ad")
    assert "ad-offchip, intar, unrolled, digits, silicon and all" in refusal("bench", "vgg")


def test_an_unexpected_error_is_not_hidden(model, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("intarsia.check.check", fail)
    assert isinstance(run("check", model).exception, ZeroDivisionError)


def test_an_interrupt_is_one_line_and_leaves_nothing(model, monkeypatch, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("intarsia.folder._fill", interrupt)
    result = run("compile", model, "-o", tmp_path / "out", "--multipliers", 16)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "intarsia: interrupted"
    assert list(tmp_path.iterdir()) == []
