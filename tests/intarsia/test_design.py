"""Designs from Python: what is predicted is simulated, what is written is loaded."""

import json
import shutil

import numpy as np
import pytest

import intarsia
from gen.graph import Graph, Lookup, Tensor
from intarsia.arrays import file_shape, from_file, to_file

from ..onnx_models import DATA
from ..tflite_models import reference


def images(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(-128, 128, (count, 6, 6, 2), dtype=np.int8)


def test_golden_of_a_tflite_model_is_what_tflite_micro_computes(model, design):
    x = images(3)
    expected = [reference(model.read_bytes(), one[None])["scores"] for one in x]
    np.testing.assert_array_equal(design.predict(x), np.concatenate(expected))


def test_rtl_equals_golden_in_the_predicted_cycles(design, tmp_path):
    x = images(3)
    words = []
    result = design.simulate(x, progress=words.append)
    np.testing.assert_array_equal(result.outputs, design.predict(x))
    assert result.mismatches == 0
    assert set(result.cycles) == {design.prediction.cycles}
    assert words[-1] == "simulating 3/3"


def test_loading_what_was_written_gives_the_same_design(design, folder):
    loaded = intarsia.load(folder)
    assert loaded == design
    assert loaded.machine == design.machine
    x = images(2)
    np.testing.assert_array_equal(loaded.predict(x), design.predict(x))


def test_designs_of_different_targets_differ(design, model):
    assert design != intarsia.compile(model, multipliers=8)


def test_written_folder_is_readable_by_a_person(folder, design):
    about = (folder / "README.txt").read_text()
    for path in folder.iterdir():
        assert path.name == "README.txt" or path.stem in about
    schedule = json.loads((folder / "schedule.json").read_text())
    assert schedule["phases"][0]["operation"]["name"] == "conv2d"
    program = json.loads((folder / "program.json").read_text())
    assert [len(program[unit]["words"]) for unit in ("core", "epilogue")] == [2, 2]
    weights = (folder / "images" / "weights.hex").read_text().split()
    assert [int(word, 16) for word in weights] == design.program.constants[0].weights
    memory = json.loads((folder / "memory.json").read_text())
    assert memory["inputs"]["image"]["bytes"] == 72


def test_writing_twice_gives_the_same_bytes(folder, design, tmp_path):
    again = design.write(tmp_path / "small")
    for path in (p for p in folder.rglob("*") if p.is_file() and p.name != "README.txt"):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes(), path.name


def test_an_existing_folder_is_left_alone(design, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(intarsia.UserError, match="mine' exists; give another folder"):
        design.write(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_write_leaves_nothing(design, tmp_path, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("intarsia.folder._images", fail)
    with pytest.raises((KeyboardInterrupt, intarsia.UserError)):
        design.write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((6, 6, 2), np.int8), r"'image' must have shape \(1, 6, 6, 2\).*not \(6, 6, 2\)"),
        (np.zeros((0, 6, 6, 2), np.int8), r"'image' must have shape"),
        (np.zeros((1, 6, 6, 2), np.int64), "'image' must be int8, or float .* not int64"),
        (np.zeros((1, 6, 6, 2), np.uint8), "'image' must be int8, or float .* not uint8"),
        (np.full((1, 6, 6, 2), np.nan), "'image' holds NaN"),
        ({"picture": np.zeros((1, 6, 6, 2), np.int8)}, "'picture' is not an input .* image"),
        ({}, r"'image' is missing; pass an array of int8 \(1, 6, 6, 2\)"),
    ],
)
def test_input_of_another_shape_or_type_is_refused(design, x, message):
    with pytest.raises(intarsia.UserError, match=message):
        design.predict(x)


def test_an_unknown_option_is_refused(model):
    with pytest.raises(intarsia.UserError, match="unknown option 'dsp'; options are multipliers"):
        intarsia.compile(model, dsp=3)


def test_the_digits_model_takes_images_as_its_file_does():
    design = intarsia.compile(DATA / "digits_int8.onnx", multipliers=8)
    with np.load(DATA / "digits_test.npz") as test:
        x, labels = test["images"][:40], test["labels"][:40]
    result = design.predict(x)
    assert result.shape == (40, 10)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=0.03)
    assert (result.argmax(axis=1) == labels).mean() > 0.97
    np.testing.assert_array_equal(design.predict(x[:1]), result[:1])
    np.testing.assert_array_equal(design.predict(x[:, None])[:, 0], result)


def identity(offset: int) -> Graph:
    """A lookup that changes nothing, on images that the file holds channels first."""
    names = {n: Tensor(n, (1, 4, 5, 2), 0.5, 3, offset=offset, layout=(0, 2, 3, 1)) for n in "xy"}
    table = np.arange(-128, 128).astype(np.int8)
    return Graph(
        "identity", names, (Lookup("same", ("x",), "y", "identity", table),), ("x",), ("y",)
    )


@pytest.mark.parametrize(("offset", "dtype"), [(0, np.int8), (128, np.uint8)])
@pytest.mark.parametrize("shape", [(1, 2, 4, 5), (7, 2, 4, 5), (7, 1, 2, 4, 5)])
def test_layout_and_type_of_the_file_go_in_and_come_out(offset, dtype, shape):
    graph = identity(offset)
    assert file_shape(graph.tensors["x"]) == (1, 2, 4, 5)
    x = np.random.default_rng(0).integers(0, 127, shape).astype(dtype)
    batch = from_file(graph, x)
    assert len(batch.runs) == shape[0]
    one = x.reshape(-1, 2, 4, 5)[0].transpose(1, 2, 0).astype(int) - offset
    np.testing.assert_array_equal(batch.runs[0]["x"][0], one)
    y = to_file(graph, batch, [{"y": run["x"]} for run in batch.runs])
    assert isinstance(y, np.ndarray)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("name", ["graph.json", "schedule.npz", "target.json", "design.v"])
def test_a_folder_without_one_of_its_files_is_refused(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(intarsia.UserError, match=r"missing|has no array"):
        intarsia.load(tmp_path / "copy")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("schedule.json", '"rows": 1', '"rows": -1'),
        ("schedule.json", '"height": 6', '"height": 99999999999'),
        ("schedule.json", '"source": 0', '"source": 1000'),
        ("schedule.json", '"image"', '"photo"'),
        ("graph.json", '"inputs": ["image"]', '"inputs": ["photo"]'),
        ("graph.json", '"scale": 0.0', '"scale": -0.0'),
        ("target.json", '"multipliers": 16', '"multipliers": 0'),
    ],
)
def test_a_folder_whose_parts_disagree_is_refused(folder, tmp_path, name, old, new):
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(intarsia.UserError) as caught:
        intarsia.load(tmp_path / "copy")
    assert "\n" not in str(caught.value)
