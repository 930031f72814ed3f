"""The emitted Verilog: the same every time, readable, and accepted by every tool that reads it."""

import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from gen.emit import component_verilog, verilog
from rtl.accelerator import Accelerator
from rtl.buffer import Buffer
from rtl.config import Config, units
from rtl.memory import Memory
from sim.verilator import verilator_root

TRACE = ("store_valid", "store_buffer", "store_address", "store_count", "store_data")
EMIT = "import sys, tests.gen.test_emit as t; sys.stdout.write(t.verilog(t.small()))"
YOSYS = "import sys, pyosys.libyosys as y; y.run_pass('script ' + sys.argv[1])"


def small() -> Accelerator:
    """Every optional part, in its smallest size; buffers and weights as large as a block RAM."""
    return Accelerator(
        Config(
            rows=2,
            cols=4,
            depth=3,
            lanes=2,
            word_bytes=4,
            axi_bytes=4,
            buffer_words=(1024, 2048),
            patch_words=16,
            weight_words=1024,
            bias_words=8,
            scale_words=8,
            tables=1,
            exponents=1,
            softmax_groups=4,
            channels=2,
            throttled=True,
        )
    )


@pytest.fixture(scope="module")
def text() -> str:
    return verilog(small())


def module_of(text: str, name: str) -> str:
    found = re.search(rf"^module {name}\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)
    assert found, f"no module {name}"
    return found[0]


def yosys(folder: Path, text: str, *commands: str) -> str:
    """What Yosys says to commands on ``text``; an error is an assertion's."""
    (folder / "accelerator.v").write_text(text)
    script = folder / "script.ys"
    script.write_text("\n".join(("read_verilog accelerator.v", *commands)) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", YOSYS, script.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def test_hash_seeds_change_nothing(text):
    root = Path(__file__).parents[2]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", EMIT],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == text


def test_shared_modules_occur_once(text):
    for name, count in (("tile", 4), ("lane", 2)):
        assert len(re.findall(rf"^module {name}\(", text, re.MULTILINE)) == 1
        assert len(re.findall(rf"^  {name} {name}_\w+ \(", text, re.MULTILINE)) == count
    names = re.findall(r"^module (\w+)", text, re.MULTILINE)
    assert len(names) == len(set(names))


def test_names_need_no_escape(text):
    assert "\\" not in text
    assert "$signed" in text
    assert not re.search(r"\w\$\d", text)


def test_top_level_names_say_whose_they_are(text):
    top = module_of(text, "accelerator")
    names = re.findall(r"^  (?:wire|reg)(?: signed)?(?: \[\d+:0\])? (\w+)", top, re.MULTILINE)
    assert len(names) == len(set(names))
    for name in (*TRACE, "throttle", "s_axil_awaddr", "m_axi0_araddr", "m_axi1_araddr"):
        assert name in names
    for name in (f"{unit}_sequencer_o_payload" for unit in units(2)):
        assert name in names
    assert not [name for name in names if re.search(r"(payload|ready)_\d+$", name)]


def test_sign_extensions_are_short(text):
    assert not re.search(r"(\w+\[\d+\]), \1, \1", text)
    assert re.search(r"\{\d+\{\w+\[\d+\]\}\}", text)


def test_verilator_lint(text, tmp_path):
    (tmp_path / "accelerator.v").write_text(text)
    waivers = resources.files("sim").joinpath("waivers.vlt").read_text()
    (tmp_path / "waivers.vlt").write_text(waivers)
    command = [verilator_root() / "bin" / "verilator_bin", "--lint-only", "-Wall"]
    command += ["--top-module", "accelerator", "waivers.vlt", "accelerator.v"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"VERILATOR_ROOT": str(verilator_root())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr[-3000:]
    assert "%Warning" not in done.stderr


def test_yosys_finds_no_latch_and_no_loop(text, tmp_path):
    yosys(
        tmp_path,
        text,
        "hierarchy -check -top accelerator",
        "proc",
        "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr",
        "flatten",
        "opt_clean",
        "check -assert",
    )


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not on PATH")
def test_icarus(text, tmp_path):
    (tmp_path / "accelerator.v").write_text(text)
    done = subprocess.run(
        ["iverilog", "-g2012", "-Wall", "-s", "accelerator", "-o", "out", "accelerator.v"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr[-3000:]


@pytest.mark.parametrize("module", ["buffer", "weights"])
def test_memories_become_block_ram(module, tmp_path):
    component = (
        Buffer(2048, word_bytes=4) if module == "buffer" else Memory(48, depth=1024, style="block")
    )
    report = yosys(
        tmp_path,
        component_verilog(component, "block"),
        "synth_ecp5 -top block -run begin:map_ffram",
        "select -assert-none t:TRELLIS_DPR16X4 t:$mem_v2",
        "tee -o count.txt select -count t:DP16KD",
    )
    count = int(re.findall(r"(\d+) objects", report)[-1])
    # 64 kbit of buffer are four blocks of 16 kbit, 48 kbit of weights three.
    assert count == {"buffer": 4, "weights": 3}[module]


def test_the_whole_machine_keeps_its_memories_in_block_ram(text, tmp_path):
    report = yosys(
        tmp_path,
        text,
        "synth_ecp5 -top accelerator -run begin:map_ffram",
        "select -count t:DP16KD",
    )
    # Buffers of 32 and 64 kbit, weights in two groups of 48 kbit, and smaller ones.
    assert int(re.findall(r"(\d+) objects", report)[-1]) >= 12


@pytest.mark.parametrize("words", [[], [1, 0, 513]])
def test_a_blank_memory_has_no_zeros_behind_its_contents(words):
    def contents(blank: bool) -> list[str]:
        memory = Memory(16, depth=64, init=words, blank=blank)
        return re.findall(r"memory\[\d+\] = 16'h(\w+)", component_verilog(memory, "block"))

    given = [f"{word:04x}" for word in words]
    assert contents(True) == given
    assert contents(False) == given + ["0000"] * (64 - len(words))
