"""The timing, the fairness and the checks of the memory model, seen through a small accelerator."""

from pathlib import Path

import numpy as np
import pytest

from sim.testbench import read_trace, render_testbench
from sim.verilator import Script, SimulationError, Simulator, build

SECOND, FREE, HOLD, HANG, DROP, EARLY, CHANGE, PARTIAL = (1 << n for n in range(8))
EVENTS = ("ar_fire", "r_fire", "aw_fire", "w_fire", "b_fire")
SOURCE = Path(__file__).with_name("copier.v").read_text()
OUTPUT = 0x8000


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return build(SOURCE, channels=2, data_bytes=8, memory_bytes=1 << 18, events=EVENTS, stores=True)


def copy(beats: int, burst: int, mode: int = 0, *, source: int = 0, seed: int = 0) -> Script:
    script = Script().seed(seed).reset().write(0x20, source).write(0x24, OUTPUT)
    return script.write(0x40, beats).write(0x44, burst).write(0x48, mode).run(20000)


def fired(simulator: Simulator, script: Script, path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The result of the last run, and the cycles in which each handshake took place."""
    result = simulator.run(script, events=path)[-1]
    rows = np.array(list(read_trace(path)))
    return result, {name: rows[rows[:, i + 1] == 1, 0] for i, name in enumerate(EVENTS)}


def test_latency_is_exact_and_beats_are_back_to_back(simulator, tmp_path):
    result, at = fired(simulator, copy(1024, 16, SECOND), tmp_path / "events")
    assert at["ar_fire"][0] == result["start"] + 1
    # Sixteen bursts of sixteen beats outlast the latency, so every beat follows the last one.
    assert at["r_fire"].tolist() == list(range(at["ar_fire"][0] + 64, at["ar_fire"][0] + 1088))


def test_latencies_of_consecutive_bursts_overlap(simulator, tmp_path):
    _, at = fired(simulator, copy(16, 1, SECOND), tmp_path / "events")
    assert np.diff(at["ar_fire"]).tolist() == [1] * 15
    assert (at["r_fire"] == at["ar_fire"] + 64).all()


def test_sixteen_bursts_are_outstanding(simulator, tmp_path):
    _, at = fired(simulator, copy(96, 2, HOLD), tmp_path / "events")
    assert (at["ar_fire"] < at["r_fire"][0]).sum() == 16
    assert (at["aw_fire"] < at["w_fire"][0]).sum() == 16
    # The seventeenth is accepted in the cycle after the last beat of the first.
    assert at["ar_fire"][16] == at["r_fire"][1] + 1


def test_short_bursts_are_limited_by_the_outstanding_ones(simulator, tmp_path):
    _, at = fired(simulator, copy(64, 1, SECOND), tmp_path / "events")
    assert (at["ar_fire"][16:] == at["r_fire"][:-16] + 1).all()


def test_write_timing(simulator, tmp_path):
    _, at = fired(simulator, copy(256, 16, SECOND | FREE), tmp_path / "events")
    assert at["w_fire"].tolist() == list(range(at["aw_fire"][0] + 1, at["aw_fire"][0] + 257))
    assert (at["b_fire"] == at["w_fire"][15::16] + 1).all()


def test_reads_and_writes_share_one_beat_per_cycle(simulator, tmp_path):
    result, at = fired(simulator, copy(1024, 16), tmp_path / "events")
    assert result["read_beats"] == result["write_beats"] == [1024, 0]
    both = np.sort(np.concatenate([at["r_fire"], at["w_fire"]]))
    # At most one beat per cycle, but for the one beat that waits in the output buffer ...
    for width in (2, 3, 10, 100):
        assert (both[width + 1 :] - both[: -width - 1] >= width).all()
    # ... and while both want it, strictly by turns.
    middle = at["w_fire"][100:900]
    assert (np.diff(middle) == 2).all()
    assert abs(both[1799] - both[200] - 1599) <= 1


def test_channels_do_not_share(simulator, tmp_path):
    result, at = fired(simulator, copy(1024, 16, SECOND), tmp_path / "events")
    assert result["read_beats"] == [1024, 0]
    assert result["write_beats"] == [0, 1024]
    assert (np.diff(at["w_fire"]) == 1).all()


@pytest.mark.parametrize("mode", [0, SECOND])
@pytest.mark.parametrize("seed", [0, 1, 2, 12345])
def test_copies_correctly(simulator, seed, mode, tmp_path):
    data = np.random.default_rng(seed).integers(0, 256, 8 * 512, np.uint8)
    script = Script().load(0x1000, data).fill(OUTPUT, 2 * data.size, 0xA5)
    script.commands += copy(512, 8, mode, source=0x1000, seed=seed).store(OUTPUT, 8192).commands
    result, stored = simulator.run(script, stores=tmp_path / "stores")
    np.testing.assert_array_equal(stored["data"][: data.size], data + np.uint8(1))
    assert (stored["data"][data.size :] == 0xA5).all()
    assert sum(result["read_beats"]) == sum(result["write_beats"]) == 512
    rows = list(read_trace(tmp_path / "stores"))
    assert [row[2] for row in rows] == list(range(512))
    assert b"".join(row[4].to_bytes(8, "little") for row in rows) == (data + np.uint8(1)).tobytes()
    assert all(row[1] == mode and row[3] == 8 and row[0] > result["start"] for row in rows)


def test_write_strobes(simulator):
    script = Script().load(0, bytes(range(64))).fill(OUTPUT, 64, 0xEE)
    script.commands += copy(8, 8, PARTIAL).store(OUTPUT, 64).commands
    data = simulator.run(script)[-1]["data"]
    assert (data[::2] == np.arange(1, 65, 2)).all()
    assert (data[1::2] == 0xEE).all()


def test_random_mode_is_random_repeatable_and_within_its_bounds(simulator, tmp_path):
    result, at = fired(simulator, copy(512, 1, SECOND, seed=7), tmp_path / "a")
    again, _ = fired(simulator, copy(512, 1, SECOND, seed=7), tmp_path / "b")
    other, _ = fired(simulator, copy(512, 1, SECOND, seed=8), tmp_path / "c")
    assert result == again
    assert result["cycles"] != other["cycles"]
    delays = at["r_fire"] - at["ar_fire"]
    assert delays.min() >= 2
    # A held beat waits in order behind slower ones.
    assert 100 < delays.mean() < 250


def test_random_stalls_take_half_of_the_cycles(simulator, tmp_path):
    _, at = fired(simulator, copy(2048, 64, SECOND | FREE, seed=3), tmp_path / "events")
    assert 1.8 < np.diff(at["w_fire"]).mean() < 2.2


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (copy(32, 16, source=0xFC0), "read burst of 128 bytes at 0x00000fc0 crosses a 4 KB"),
        (copy(32, 16, source=4), "read burst at 0x00000004 is not aligned to 8 bytes"),
        (copy(32, 16, source=(1 << 18) - 64), "read burst of 128 bytes at 0x0003ffc0 leaves"),
        (copy(512, 1, DROP | HOLD), "arvalid fell before arready"),
        (copy(512, 8, DROP, seed=1), "arvalid fell before arready"),
        (
            Script()
            .reset()
            .write(0x20, 0)
            .write(0x24, 0xFFC0)
            .write(0x40, 16)
            .write(0x44, 16)
            .write(0x48, FREE)
            .run(1000),
            "write burst of 128 bytes at 0x0000ffc0 crosses a 4 KB",
        ),
        (copy(32, 8, EARLY), "wlast is 1 on beat 7 of a burst of 8"),
        (copy(32, 8, CHANGE, seed=1), "W payload changed before wready"),
    ],
)
def test_broken_masters_are_caught(simulator, script, message):
    with pytest.raises(SimulationError, match=rf"^AXI channel 0: {message}.* \(time \d+\)$"):
        simulator.run(script)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 0}, "channels must be positive, not 0"),
        ({"data_bytes": 3}, "data_bytes must be a power of two up to 128, not 3"),
        ({"memory_bytes": 12}, "memory_bytes must be a multiple of 8 from two beats to 2 GB"),
        ({"throttles": -1}, "throttles must not be negative, not -1"),
        ({"latency": 1}, "latency must be at least 2 and outstanding at least 1, not 1 and 16"),
    ],
)
def test_parameters_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        render_testbench(**{"channels": 1, "data_bytes": 8, "memory_bytes": 4096} | change)
