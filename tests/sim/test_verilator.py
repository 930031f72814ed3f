"""Building, caching and scripting simulators, and the cocotb lane beside them."""

import threading
from pathlib import Path

import numpy as np
import pytest

from gen import cache as caching
from gen.errors import UserError
from sim import verilator
from sim.cocotb_runner import run_bench
from sim.verilator import Script, SimulationError, Simulator, build

HERE = Path(__file__).parent
COPIER = HERE.joinpath("copier.v").read_text()
HANG = 8


def make(source: str = COPIER, **options) -> Simulator:
    return build(source, **({"channels": 2, "data_bytes": 8, "memory_bytes": 1 << 16} | options))


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return make()


def configured(beats: int = 64, burst: int = 8, mode: int = 0) -> Script:
    registers = [(0x20, 0), (0x24, 0x8000), (0x40, beats), (0x44, burst), (0x48, mode)]
    return Script().reset().bulk(registers)


def test_registers(simulator):
    results = simulator.run(Script().reset().write(0x40, 0xDEADBEEF).read(0x40).read(0))
    assert results == [{"address": 0x40, "data": 0xDEADBEEF}, {"address": 0, "data": 0x10000}]


def test_lines_of_text_are_a_script_too(simulator):
    assert simulator.run(["reset", "write 40 ff", "read 40"]) == [{"address": 64, "data": 255}]


def test_bulk_writes_leave_in_consecutive_cycles(simulator):
    pairs = np.stack([np.full(1000, 0x40), np.full(1000, 64)], axis=1)
    scripts = [configured().bulk(pairs[:count]).run(5000) for count in (1, 1000)]
    starts = [simulator.run(script)[0]["start"] for script in scripts]
    assert starts[1] - starts[0] == 999


def test_memory_is_loaded_filled_and_fetched(simulator):
    data = np.arange(100, dtype=np.int16)
    script = Script().fill(0, 1000, 7).load(101, data).load(500, b"abc").store(100, 202)
    (stored,) = simulator.run(script.store(500, 4))[:1]
    assert stored["offset"] == 100
    assert stored["data"].tobytes() == b"\x07" + data.tobytes() + b"\x07"
    assert simulator.run(script)[1]["data"].tobytes() == b"abc\x07"


def test_a_second_run_is_like_the_first(simulator):
    first, second = simulator.run(configured().run(5000).run(5000))
    assert first.pop("start") < second.pop("start")
    assert first == second
    assert first["read_beats"] == first["write_beats"] == [64, 0]
    assert not first["timeout"]
    assert not first["error"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (configured(mode=HANG).run(1000), r"not done 1000 cycles after the start \(status 0x2\)"),
        (Script().reset().write(0x80, 1), "AXI-Lite write to 0x80 answered with response 2"),
        (Script().reset().read(0x80), "AXI-Lite read of 0x80 answered with response 2"),
        (Script().load(65000, bytes(1000)), "1000 bytes at offset 65000 leave the memory of 65536"),
        (["dance 3"], "cannot understand the command: dance 3"),
        (["run soon"], "cannot understand the command: run soon"),
        (["load 0 missing"], "cannot read missing"),
        (Script().waves("x.fst"), "waves .*x.fst: this simulator was built without waves"),
    ],
)
def test_failures_are_one_line(simulator, script, message):
    with pytest.raises(SimulationError, match=message) as caught:
        simulator.run(script)
    assert "\n" not in str(caught.value)


def test_results_before_a_failure_are_kept(simulator):
    with pytest.raises(SimulationError) as caught:
        simulator.run(configured().run(5000).write(0x48, HANG).run(100))
    assert [result["timeout"] for result in caught.value.results] == [False, True]


def test_pairs_have_two_columns():
    with pytest.raises(ValueError, match=r"pairs must have the shape \(n, 2\), not \(3,\)"):
        Script().bulk([1, 2, 3])


def test_throttles_hold_streams_only_when_random(simulator):
    source = "`define THROTTLE\n" + COPIER
    throttled = make(source, throttles=2)
    data = bytes(range(256)) * 2
    reference = simulator.run(configured().run(9000))[0]
    assert throttled.run(configured().run(9000))[0] == reference
    script = configured().load(0, data).seed(5).run(9000).store(0x8000, 512)
    slow, stored = throttled.run(script)
    assert slow["cycles"] > reference["cycles"]
    assert stored["data"].tobytes() == bytes((b + 1) & 255 for b in data)


@pytest.mark.parametrize("data_bytes", [1, 32])
def test_memory_bytes_lie_in_address_order(data_bytes):
    narrow = COPIER.replace("BYTES = 8", f"BYTES = {data_bytes}")
    data = np.random.default_rng(data_bytes).integers(0, 256, 8 * data_bytes, np.uint8)
    script = configured(beats=8).load(0, data).run(1000).store(0x8000, data.size)
    stored = make(narrow, data_bytes=data_bytes).run(script)[-1]["data"]
    np.testing.assert_array_equal(stored, data + np.uint8(1))


def test_waves(tmp_path):
    path = tmp_path / "a wave.fst"
    make(waves=True).run(configured().waves(path).run(5000))
    content = path.read_bytes()
    header_block = 0
    assert content[0] == header_block
    assert int.from_bytes(content[1:9], "big") == 329
    assert b"m_axi0_araddr" in content


def test_a_build_is_found_again(simulator, monkeypatch):
    words = []
    stamp = simulator.executable.stat().st_mtime_ns
    monkeypatch.setattr(verilator, "_execute", pytest.fail)
    again = build(COPIER, channels=2, data_bytes=8, memory_bytes=1 << 16, progress=words.append)
    assert again == simulator
    assert again.executable.stat().st_mtime_ns == stamp
    assert not words


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("INTARSIA_CACHE", str(tmp_path))
    return tmp_path / "builds"


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_a_failed_build_leaves_nothing_and_says_why(cache):
    with pytest.raises(SimulationError, match=r"%Error: accelerator.v:1:\d+: syntax error"):
        make("module accelerator oops")
    assert entries(cache) == []


def test_lint_is_on(cache):
    latch = COPIER.replace(
        "assign hold = 2'b00;",
        "reg [1:0] h; always @* if (busy) h = {done, done}; assign hold = h;",
    )
    with pytest.raises(SimulationError, match="%Warning-LATCH"):
        make(latch)


def test_an_interrupted_entry_leaves_nothing(cache):
    def interrupted(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        caching.cached({"n": 1}, interrupted)
    assert entries(cache) == []
    entry = caching.cached({"n": 1}, lambda folder: None)
    assert list(entry.iterdir()) == []


def test_concurrent_builders_make_an_entry_once(cache):
    made = []
    both = threading.Barrier(4)

    def maker(folder: Path) -> None:
        made.append(folder)
        (folder / "whole").write_text("yes")

    def builder() -> None:
        both.wait()
        assert (caching.cached({"n": 2}, maker) / "whole").read_text() == "yes"

    threads = [threading.Thread(target=builder) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(entries(cache)) == 1


def test_old_entries_are_forgotten(cache, monkeypatch):
    monkeypatch.setattr(caching, "KEPT", 3)
    for n in range(6):
        caching.cached({"n": n}, lambda folder: None)
    assert len(entries(cache)) == 3


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler and make: install g\+\+"):
        make()


def test_a_cache_folder_with_a_space_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("INTARSIA_CACHE", str(tmp_path / "my cache"))
    with pytest.raises(UserError, match="set INTARSIA_CACHE to another folder"):
        make()


MEMORY = Path(verilator.__file__).with_name("axi_memory.sv")


def test_cocotb_masters_agree_with_the_memory():
    source = HERE.joinpath("axi_bench.sv").read_text()
    run_bench(source, "tests.sim.axi_bench", top="axi_bench", sources=[MEMORY], seed=1)


def test_a_failing_cocotb_test_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text(
        "import cocotb\n@cocotb.test()\nasync def fails(dut):\n    assert dut.seed.value == 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = HERE.joinpath("axi_bench.sv").read_text()
    with pytest.raises(SimulationError, match="1 of 1 tests of failing failed"):
        run_bench(source, "failing", top="axi_bench", sources=[MEMORY], seed=1)
