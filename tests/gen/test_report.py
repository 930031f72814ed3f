"""The report: its figures agree with the schedule, its page stands on its own."""

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from gen.compile import Compiled, compile_graph
from gen.frontends import load
from gen.graph import Add, Conv, Graph, MatMul, Reshape, Softmax, Tensor
from gen.operation import Geometry
from gen.report import gantt_svg, report, write
from gen.target import Target
from tests.models import model_path

HOSTILE = "</script><script>alert(1)</script> \"'&amp;{{ 7 * 7 }}"


def _small(name: str = "conv", kilobytes: int = 64, channels: int = 1) -> Compiled:
    rng = np.random.default_rng(5)

    def numbers(outputs: int) -> tuple[np.ndarray, ...]:
        bias = rng.integers(-500, 500, outputs).astype(np.int32)
        return bias, np.full(outputs, 1 << 30, np.int32), np.full(outputs, -6, np.int8)

    tensors = {
        "x": Tensor("x", (1, 8, 8, 4), 0.1, 3),
        name: Tensor(name, (1, 4, 4, 24), 0.1, -3),
        "flat": Tensor("flat", (1, 384), 0.1, -3),
        "logits": Tensor("logits", (1, 10), 0.1, 0),
        "y": Tensor("y", (1, 10), 1 / 256, -128),
    }
    kernel = rng.integers(-127, 128, (24, 3, 3, 4)).astype(np.int16)
    matrix = rng.integers(-127, 128, (10, 384)).astype(np.int16)
    tasks = (
        Conv(name, ("x",), name, kernel, *numbers(24), stride=(2, 2), padding=(0, 1, 0, 1)),
        Reshape("flatten", (name,), "flat"),
        MatMul("dense", ("flat",), "logits", matrix, *numbers(10)),
        Softmax("softmax", ("logits",), "y", 1 << 30, 22, -248),
    )
    graph = Graph(name, tensors, tasks, ("x",), ("y",))
    return compile_graph(graph, Target(36, kilobytes * 1024, channels=channels))


def _skip() -> Compiled:
    """A skip over a wide middle, which leaves its operand no room on chip."""
    rng = np.random.default_rng(6)
    channels = {"x": 8, "a": 8, "b": 8, "c": 16, "d": 16, "e": 8, "y": 8}
    tensors = {name: Tensor(name, (1, 16, 16, n), 0.1, 0) for name, n in channels.items()}
    names = tuple(channels)
    tasks = []
    for source, sink in pairwise(names[:6]):
        n = channels[sink]
        weights = rng.integers(-9, 9, (n, 1, 1, channels[source])).astype(np.int16)
        zeros, ones = np.zeros(n, np.int32), np.full(n, 1 << 30, np.int32)
        shifts = np.full(n, -4, np.int8)
        tasks.append(Conv(f"to_{sink}", (source,), sink, weights, zeros, ones, shifts))
    rescales = (1 << 30, -1), (1 << 30, -1), (1 << 30, -18)
    tasks.append(Add("add", ("e", "a"), "y", *rescales))
    graph = Graph("skip", tensors, tuple(tasks), ("x",), ("y",))
    # On a given array nothing takes turns, so that the tensor leaves as a whole.
    return compile_graph(
        graph, Target(multipliers=36, onchip_bytes=11_000), geometry=Geometry(1, 4, 8, 4)
    )


@cache
def _compiled(which: str) -> Compiled:
    if which == "resident":
        return _small()
    if which == "streamed":
        return _small(kilobytes=4)
    if which == "two channels":
        return _small(kilobytes=4, channels=2)
    if which == "spilled":
        return _skip()
    if which == "hostile":
        return _small(HOSTILE)
    path = model_path(f"mlperf_tiny/{which}")
    return compile_graph(load(path), Target(multipliers=144))


MODELS = ("ad/ad01_int8.tflite", "resnet8/resnet8_int8.tflite")
ALL = ("resident", "streamed", "two channels", "spilled", "hostile", *MODELS)


class _Checker(HTMLParser):
    """Elements that are closed in the order in which they were opened."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _checked(page: str) -> _Checker:
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    return checker


@pytest.mark.parametrize("which", ALL)
def test_totals_are_the_schedules(which):
    compiled = _compiled(which)
    schedule, totals = compiled.schedule, report(compiled)["totals"]
    tasks = report(compiled)["tasks"]
    beats = sum(plan.beats for channel in schedule.fetches for plan in channel)
    assert totals["cycles"] == compiled.prediction.cycles
    assert totals["macs"] == compiled.graph.macs() == sum(t["macs"] for t in tasks.values())
    assert totals["offchip_read"] == beats * schedule.axi_bytes
    assert totals["offchip_written"] == sum(p.beats for p in schedule.sends) * schedule.axi_bytes
    for key in ("read", "written"):
        everything = sum(task[f"offchip_{key}"] for task in tasks.values())
        assert everything == totals[f"offchip_{key}"]
        assert everything == sum(region[key] for region in totals["offchip"].values())
    memories = [v for k, v in totals["onchip"].items() if k.startswith("buffer ")]
    assert sum(memories) + totals["onchip"]["weights"] == totals["onchip_bytes"]
    assert totals["onchip_bytes"] == schedule.onchip_bytes
    assert totals["weights_streamed"] == schedule.streamed
    assert totals["efficiency"] == pytest.approx(
        totals["macs"] / compiled.target.multipliers / totals["cycles"], abs=1e-4
    )


@pytest.mark.parametrize("which", ALL)
def test_tasks_are_keyed_by_name_and_their_cycles_add_up(which):
    compiled = _compiled(which)
    data = report(compiled)
    assert list(data["tasks"]) == [task.name for task in compiled.graph.tasks]
    cycles = sum(task["cycles"] for task in data["tasks"].values())
    assert cycles + data["totals"]["outputs_cycles"] == data["totals"]["cycles"]
    for name, task in data["tasks"].items():
        assert set(task) >= {"kind", "macs", "weight_bytes", "lanes", "roofline_cycles"}
        if not task["phases"]:
            assert task["cycles"] == 0
            assert task["first"] is None
            continue
        assert 0 <= task["first"] <= task["last"] <= data["totals"]["cycles"]
        if task["macs"] and task["cycles"]:
            efficiency = task["macs"] / compiled.target.multipliers / task["cycles"]
            assert task["efficiency"] == pytest.approx(efficiency, abs=1e-4), name


@pytest.mark.parametrize("which", ALL)
def test_rows_lie_inside_the_run(which):
    compiled = _compiled(which)
    data = report(compiled)
    cycles = data["totals"]["cycles"]
    assert sum(map(len, data["rows"].values())) == len(compiled.prediction.spans)
    for spans in data["rows"].values():
        for span in spans:
            assert 0 <= span["first"] <= span["last"] <= cycles
            assert all(isinstance(wait, str) for wait in span["waits"])
    assert len(data["lifetimes"]) == len(compiled.schedule.lifetimes)
    for life in (*data["lifetimes"], *data["weight_blocks"]):
        assert 0 <= life["first"] <= life["last"] <= cycles


@pytest.mark.parametrize("which", ALL)
def test_what_lives_at_once_lies_apart(which):
    data = report(_compiled(which))
    for lives in (data["lifetimes"], data["weight_blocks"]):
        for i, a in enumerate(lives):
            for b in lives[:i]:
                meet = a["first"] <= b["last"] and b["first"] <= a["last"]
                touch = (
                    a.get("buffer") == b.get("buffer")
                    and a["address"] < b["address"] + b["size"]
                    and b["address"] < a["address"] + a["size"]
                )
                assert not (meet and touch), (a, b)


def test_waits_are_told_in_words():
    data = report(_compiled("streamed"))
    core = data["rows"]["core"][0]["waits"]
    assert any("conv's weights have arrived" in wait for wait in core)
    gather = {row["name"]: row["waits"] for row in data["rows"]["gather"]}
    assert any("has stored all" in wait for wait in gather["dense"])
    assert any("softmax has stored all" in wait for wait in data["rows"]["send"][-1]["waits"])


def test_a_spill_is_two_stays_of_one_tensor():
    data = report(_compiled("spilled"))
    before, after = [life for life in data["lifetimes"] if life["storage"] == "a"]
    assert before["spilled"]
    assert after["fetched"]
    spills = data["totals"]["offchip"]["spills"]
    assert spills == {"size": 2048, "read": 2048, "written": 2048}
    sent = next(row for row in data["rows"]["send"] if row["region"] == "spills")
    assert before["first"] < sent["last"] <= before["last"] < after["first"]


def test_fused_tasks_count_where_they_are_fused():
    data = report(_compiled(MODELS[1]))
    add = data["tasks"]["add"]
    assert add["fused_into"] == "conv2d_2"
    assert add["cycles"] == 0
    assert data["tasks"]["conv2d_2"]["phases"] == add["phases"]


def test_measured_cycles_stand_beside_the_predicted(tmp_path):
    compiled = _compiled("resident")
    names = [phase.operation.name for phase in compiled.schedule.phases]
    measured = {name: 1000 + i for i, name in enumerate(names)} | {"outputs": 7}
    data = report(compiled, measured)
    assert data["totals"]["measured_cycles"] == sum(measured.values())
    tasks = data["tasks"].values()
    assert sum(t.get("measured_cycles", 0) for t in tasks) == sum(measured.values()) - 7
    write(compiled, tmp_path, measured)
    assert "Cycles, measured" in (tmp_path / "report.html").read_text(encoding="utf-8")
    without = report(compiled, {names[0]: 5})
    assert "measured_cycles" not in without["totals"]


@pytest.mark.parametrize("which", ALL)
def test_the_page_stands_on_its_own(which, tmp_path):
    compiled = _compiled(which)
    write(compiled, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report(compiled)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http" not in page
    checker = _checked(page)
    for tag, attributes in checker.seen:
        assert tag not in ("link", "img", "iframe", "object")
        assert not {"src", "href", "xlink:href"} & set(attributes)
        for value in attributes.values():
            assert all(url.startswith("#") for url in re.findall(r"url\((.*?)\)", value or ""))
    ids = [attributes["id"] for _, attributes in checker.seen if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_names_cannot_break_the_page(tmp_path):
    compiled = _compiled("hostile")
    write(compiled, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    checker = _checked(page)
    assert page.count("<script>") == 1
    assert HOSTILE in checker.text
    ElementTree.fromstring(gantt_svg(compiled))


@pytest.mark.parametrize("which", ALL)
def test_the_picture_is_an_svg_of_its_own(which):
    compiled = _compiled(which)
    picture = gantt_svg(compiled)
    root = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    description = root.find(f"{space}desc")
    assert description is not None
    assert f"{compiled.prediction.cycles:,} cycles" in (description.text or "")
    assert "script" not in {element.tag for element in root.iter()}
    names = {phase.operation.name for phase in compiled.schedule.phases}
    titles = {(title.text or "").split("\n")[0] for title in root.iter(f"{space}title")}
    assert names <= titles
    assert picture == gantt_svg(compiled)


def test_a_graph_without_products_has_no_efficiency():
    compiled = _compiled("resident")
    softmax = report(compiled)["tasks"]["softmax"]
    assert softmax["efficiency"] is None
    renamed = replace(compiled, graph=replace(compiled.graph, name="other"))
    assert report(renamed)["name"] == "other"
