"""What is saved is loaded, and what is damaged is refused in one line."""

import contextlib
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gen import graph as graphs
from gen import serial
from gen.compile import compile_graph
from gen.errors import UserError
from gen.frontends import load as load_model
from gen.graph import Graph, Task, Tensor
from gen.target import Target
from gen.timing import Prediction, Span

from ..onnx_models import DATA


@pytest.fixture(scope="module")
def compiled():
    graph = load_model(DATA / "digits_int8.onnx")
    return compile_graph(graph, Target(multipliers=8))


def rng_array(dtype: type, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(1).integers(limits.min, limits.max, shape, dtype=dtype)


def every_task() -> Graph:
    """One task of each kind; their operands are not consistent."""
    products = {
        "weights": rng_array(np.int16, 4, 3, 3, 2),
        "bias": rng_array(np.int32, 4),
        "multiplier": rng_array(np.int32, 4),
        "shift": rng_array(np.int8, 4),
    }
    rescales = {f"rescale_{n}": (1 << 30, -i) for i, n in enumerate(("a", "b", "out"))}
    members = {
        "Conv": {**products, "stride": (2, 1), "padding": (0, 1, 0, 1), "clamp": (-5, 6)},
        "ConvTranspose": {**products, "stride": (2, 1), "padding": (0, 1, 0, 1)},
        "MatMul": {**products, "weights": rng_array(np.int16, 4, 9)},
        "Dot": {"multiplier": 1 << 30, "shift": -9, "transpose_b": True},
        "Multiply": {"multiplier": 1 << 30, "shift": 1, "clamp": (0, 32767)},
        "Pool": {"mode": "max", "kernel": (2, 3)},
        "Upsample": {"factor": 2},
        "Add": rescales,
        "Lookup": {"function": "tanh", "table": rng_array(np.int8, 256)},
        "Interpolate": {"function": "silu", "table": rng_array(np.int16, 257)},
        "RowSoftmax": {"fraction_bits": 11},
        "Softmax": {"multiplier": 3, "left_shift": 2, "diff_min": -200},
        "Pad": {"padding": ((0, 0), (1, 2)), "value": -7},
        "Concat": {"axis": 1},
        "Reshape": {},
        "Transpose": {"permutation": (0, 2, 1)},
        "Slice": {"start": (0, 1), "step": (1, 2)},
    }
    kinds = {n for n in graphs.__all__ if issubclass(getattr(graphs, n), Task)} - {"Task"}
    assert set(members) == kinds
    tasks = tuple(
        getattr(graphs, kind)(name=f"ü/{kind}", inputs=("x", "y"), output="z", **more)
        for kind, more in members.items()
    )
    tensors = {
        "x": Tensor("x", (1, 3), 0.1, -128, offset=128, layout=(0, 1)),
        "y": Tensor("y", (1, 3), float(np.float32(1 / 3)), 0),
        "wide": Tensor("wide", (2,), 2.0**-12, 0, bits=16),
    }
    return Graph("all", tensors, tasks, ("x", "y"), ("z",))


def test_every_kind_of_task_survives(tmp_path):
    graph = every_task()
    serial.save(graph, tmp_path / "graph.json")
    loaded = serial.load(tmp_path / "graph.json", Graph)
    assert loaded == graph
    assert [type(task) for task in loaded.tasks] == [type(task) for task in graph.tasks]
    for a, b in zip(graph.tasks, loaded.tasks, strict=True):
        for name, value in vars(a).items():
            if isinstance(value, np.ndarray):
                assert getattr(b, name).dtype == value.dtype


def test_every_stage_of_a_real_model_survives(compiled, tmp_path):
    for name in ("graph", "target", "schedule", "prediction"):
        value = getattr(compiled, name)
        serial.save(value, tmp_path / f"{name}.json")
        assert serial.load(tmp_path / f"{name}.json", type(value)) == value


def test_a_change_anywhere_makes_a_difference(compiled):
    schedule = compiled.schedule
    phase = schedule.phases[0]
    bias = phase.operation.bias.copy()
    bias[0] += 1
    changed = replace(phase, operation=replace(phase.operation, bias=bias))
    assert replace(schedule, phases=(changed, *schedule.phases[1:])) != schedule
    assert replace(schedule, phases=(*schedule.phases,)) == schedule


def test_a_person_can_read_the_schedule(compiled, tmp_path):
    serial.save(compiled.schedule, tmp_path / "schedule.json")
    lines = (tmp_path / "schedule.json").read_text().splitlines()
    assert lines[:3] == ["{", '  "type": "Schedule",', '  "version": 2,']
    assert max(map(len, lines)) <= 120
    data = json.loads("".join(lines))
    assert data["phases"][0]["operation"]["weights"] == {"array": "phases.0.operation.weights"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_indented_text_is_the_same_json(data):
    assert json.loads(serial.text(data)) == data


SMALL = Prediction(7, (Span("core", 0, "conv", 1, 5),))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"cycles": 7', '"cycles": "7"', r"Prediction.cycles must be int, not '7'"),
        ('"cycles": 7', '"cycles": true', "Prediction.cycles must be int, not True"),
        ('"cycles": 7', '"cycle": 7', "unknown member 'cycle'"),
        ('"first": 1,', "", r"Prediction.spans.0 lacks 'first'"),
        ('"version": 2', '"version": 1', "version 1, not 2"),
        ('"Prediction"', '"Graph"', "holds no Prediction"),
        ('"core"', "null", r"spans.0.unit must be str, not None"),
        ("[{", "{", "not JSON"),
        ('"spans": [{"unit"', '"spans": [["unit"], {"unit"', "spans.0 is not a Span"),
        ('"cycles": 7', '"cycles": ' + "[" * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_damage_is_named(tmp_path, old, new, message):
    path = tmp_path / "prediction.json"
    serial.save(SMALL, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        serial.load(path, Prediction)
    assert "prediction.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read '.*graph.json': No such file"):
        serial.load(tmp_path / "graph.json", Graph)


def test_a_task_of_unknown_type_is_refused(tmp_path):
    serial.save(every_task(), tmp_path / "graph.json")
    path = tmp_path / "graph.json"
    path.write_text(path.read_text().replace('"type": "Pad"', '"type": "Popen"'))
    with pytest.raises(UserError, match="task of unknown type 'Popen'"):
        serial.load(path, Graph)


def test_pickled_arrays_are_refused(tmp_path):
    serial.save(every_task(), tmp_path / "graph.json")
    with (tmp_path / "graph.npz").open("wb") as file:
        np.savez(file, **{"tasks.0.weights": np.array([{}], object)})
    with pytest.raises(UserError, match="holds no arrays"):
        serial.load(tmp_path / "graph.json", Graph)


def test_members_that_are_no_arrays_are_refused(tmp_path):
    serial.save(every_task(), tmp_path / "graph.json")
    with zipfile.ZipFile(tmp_path / "graph.npz", "w") as archive:
        archive.writestr("tasks.0.weights", "words")
    with pytest.raises(UserError, match="no array"):
        serial.load(tmp_path / "graph.json", Graph)


def test_an_array_of_another_place_is_refused(tmp_path):
    serial.save(every_task(), tmp_path / "graph.json")
    path = tmp_path / "graph.json"
    path.write_text(path.read_text().replace("tasks.0.weights", "tasks.99.weights"))
    with pytest.raises(UserError, match="weights has no array"):
        serial.load(path, Graph)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_changed_bytes_load_or_are_refused(tmp_path, data):
    name = data.draw(st.sampled_from(["graph.json", "graph.npz"]))
    serial.save(every_task(), tmp_path / "graph.json")
    path = tmp_path / name
    held = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        held = held[: data.draw(st.integers(0, len(held) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            held[data.draw(st.integers(0, len(held) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(held)
    with contextlib.suppress(UserError):
        assert isinstance(serial.load(tmp_path / "graph.json", Graph), Graph)


def test_only_stages_can_be_saved():
    with pytest.raises(TypeError, match="must be one of Graph, Target, Schedule, Prediction"):
        serial.encode(Tensor("x", (1,), 1.0, 0))
    assert serial.encode(Target())[1] == {}
