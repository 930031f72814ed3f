"""Real networks, end to end: every output and every tensor that exists, at the cycles predicted."""

from dataclasses import replace

import numpy as np
import pytest

from gen.compile import compile_graph, machine_for
from gen.emit import verilog
from gen.fit import schedule_on
from gen.frontends import load
from gen.graph import Add, Conv
from gen.operation import Geometry
from gen.program import config_for, program
from gen.target import Target
from gen.timing import predict
from sim import golden
from sim.execute import execute, memory_bytes, tensors_of
from sim.verilator import build
from tests.models import model_path

TABLE = {
    "resnet8": ("mlperf_tiny/resnet8/resnet8_int8.tflite", Target(144), 93_000),
    "resnet8-small": ("mlperf_tiny/resnet8/resnet8_int8.tflite", Target(36), 360_000),
    "ad": ("mlperf_tiny/ad/ad01_int8.tflite", Target(144), 2_400),
    "ad-offchip": ("mlperf_tiny/ad/ad01_int8.tflite", Target(144, 64 * 1024), 18_000),
    "ad-offchip-two-channels": (
        "mlperf_tiny/ad/ad01_int8.tflite",
        Target(144, 64 * 1024, channels=2),
        17_400,
    ),
}
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _inputs(graph, name: str) -> list[dict[str, np.ndarray]]:
    tensor = graph.tensors[graph.inputs[0]]
    if name.startswith("resnet8"):
        folder = model_path("mlperf_tiny/resnet8")
        arrays = [np.fromfile(folder / f"quant_{c}.dat", np.int8) for c in CLASSES[:3]]
    else:
        folder = model_path("mlperf_tiny/ad")
        arrays = list(np.fromfile(folder / "quant_anomaly_0.dat", np.int8).reshape(40, 640)[:20])
    return [{tensor.name: array.reshape(tensor.shape)} for array in arrays]


def _simulator(compiled, **options):
    return build(
        verilog(compiled.machine.accelerator()),
        channels=compiled.schedule.channels,
        data_bytes=compiled.schedule.axi_bytes,
        memory_bytes=memory_bytes(compiled.schedule),
        **options,
    )


@pytest.mark.parametrize("name", TABLE)
def test_network_is_bit_exact_within_its_cycles_and_as_predicted(name):
    path, target, most = TABLE[name]
    graph = load(model_path(path))
    compiled = compile_graph(graph, target)
    inputs = _inputs(graph, name)
    simulator = _simulator(compiled)
    parts = (simulator, compiled.machine, compiled.schedule, compiled.program, graph)
    runs = execute(*parts, [*inputs, inputs[0], inputs[0], inputs[0]],
                   seeds=[0] * len(inputs) + [1, 2, 3])  # fmt: skip
    for arrays, run in zip([*inputs, inputs[0], inputs[0], inputs[0]], runs, strict=True):
        expected = golden.run(graph, arrays)
        for output in graph.outputs:
            np.testing.assert_array_equal(run.outputs[output], expected[output])
    cycles = runs[0].cycles
    assert cycles <= most
    assert all(run.cycles == cycles for run in runs[: len(inputs)])
    assert compiled.prediction.cycles == cycles


def test_every_tensor_of_resnet8_equals_golden_when_nothing_is_fused(tmp_path):
    graph = load(model_path("mlperf_tiny/resnet8/resnet8_int8.tflite"))
    config = replace(
        compile_graph(graph, Target(144)).machine.config,
        loadable=True, links=(), residual=True, buffer_words=(4096, 4096, 4096),
        program_words=64, weight_words=1024, bias_words=128, scale_words=128, token_bits=24,
    )  # fmt: skip
    schedule = schedule_on(graph, config, streamed=False, fuse=False)
    compiled = program(schedule)
    machine = machine_for(schedule, compiled, memory="rom", throttled=False)
    simulator = build(
        verilog(machine.accelerator()), channels=1, data_bytes=schedule.axi_bytes,
        memory_bytes=memory_bytes(schedule), stores=True,
    )  # fmt: skip
    inputs = _inputs(graph, "resnet8")[0]
    expected = golden.run(graph, inputs)
    trace = tmp_path / "stores"
    (run,) = execute(simulator, machine, schedule, compiled, graph, [inputs], stores=trace)
    seen = dict(tensors_of(trace, schedule))
    for task in graph.tasks:
        if task.kind != "reshape":
            wanted = expected[task.output].reshape(-1)
            np.testing.assert_array_equal(seen[task.output][: wanted.size], wanted, task.name)
    assert run.cycles == predict(schedule, machine.config).cycles


def test_ram_and_rom_machines_agree_and_rom_takes_no_more_cycles():
    path, target, _ = TABLE["ad"]
    graph = load(model_path(path))
    inputs = _inputs(graph, "ad")[:3]
    geometry = Geometry(1, 8, 9, 4)
    results = {}
    for memory in ("ram", "rom"):
        compiled = compile_graph(graph, replace(target, memory=memory), geometry=geometry)
        parts = (compiled.machine, compiled.schedule, compiled.program, graph)
        results[memory] = execute(_simulator(compiled), *parts, inputs)
    for ram, rom in zip(results["ram"], results["rom"], strict=True):
        for output in graph.outputs:
            np.testing.assert_array_equal(ram.outputs[output], rom.outputs[output])
        assert rom.cycles <= ram.cycles


def test_internal_streams_may_stall_at_random_without_changing_a_value():
    graph = load(model_path(TABLE["resnet8"][0]))
    compiled = compile_graph(graph, Target(144), throttled=True)
    inputs = _inputs(graph, "resnet8")[0]
    simulator = _simulator(compiled, throttles=len(compiled.machine.config.units))
    parts = (simulator, compiled.machine, compiled.schedule, compiled.program, graph)
    expected = golden.run(graph, inputs)
    for run in execute(*parts, [inputs] * 3, seeds=[4, 5, 6]):
        for output in graph.outputs:
            np.testing.assert_array_equal(run.outputs[output], expected[output])


def test_resnet8_additions_are_fused_and_its_array_is_nearly_always_busy():
    graph = load(model_path(TABLE["resnet8"][0]))
    compiled = compile_graph(graph, Target(144))
    tasks = [set(p.operation.tasks) for p in compiled.schedule.phases]
    additions = [t.name for t in graph.tasks if isinstance(t, Add)]
    convolutions = {t.name for t in graph.tasks if isinstance(t, Conv)}
    assert all(any(a in t and t & convolutions for t in tasks) for a in additions)
    assert graph.macs() / 144 / compiled.prediction.cycles > 0.98
    assert config_for(compiled.schedule, compiled.program).multipliers <= 144
