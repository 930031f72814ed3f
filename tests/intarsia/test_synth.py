"""The synthesis commands: what they refuse, and what they write."""

import json

import pytest

from tests.intarsia.test_cli import refusal, run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tool", "quartus"), "--tool 'quartus' is not known; there are yosys, nextpnr, vivado"),
        (("--tool", "yosys"), "--tool yosys needs --board or --family, of xc7, xcu, xcup, ecp5"),
        (("--tool", "yosys", "--family", "ice40"), "family 'ice40' is not known"),
        (("--tool", "nextpnr"), "--tool nextpnr needs --board; see: intarsia boards"),
        (("--tool", "nextpnr", "--board", "arty"), "use --tool vivado"),
        (("--tool", "nextpnr", "--board", "arty", "--core"), "nextpnr places ECP5 boards"),
        (("--tool", "nextpnr", "--board", "zx81"), "--board 'zx81' is not known"),
        (("--tool", "vivado"), "--tool vivado needs --board"),
        (("--tool", "vivado", "--board", "ulx3s"), "Vivado does not know ulx3s-85f"),
    ],
)
def test_what_cannot_be_synthesised_is_refused_in_a_line(folder, options, message):
    assert message in refusal("synth", folder, *options)


def test_a_folder_without_a_design_is_refused(tmp_path):
    assert "is not a folder" in refusal("synth", tmp_path / "no", "--tool", "yosys")


def test_a_vivado_project_is_written_whole(design, tmp_path):
    folder = design.write(tmp_path / "d")
    result = run("synth", folder, "--tool", "vivado", "--board", "zcu104")
    assert result.exit_code == 0, result.output
    made = folder / "synth-vivado-zcu104"
    assert {path.name for path in made.iterdir()} == {
        "component.xml",
        "design.v",
        "intarsia.v",
        "ip.tcl",
        "ooc.tcl",
        "ooc.xdc",
        "zynq.tcl",
    }
    assert "vivado -mode batch -source zynq.tcl" in result.output


@pytest.mark.slow
def test_a_bitstream_is_written_and_reported(design, tmp_path):
    folder = design.write(tmp_path / "d")
    result = run("synth", folder, "--tool", "nextpnr", "--board", "ulx3s")
    assert result.exit_code == 0, result.output
    made = folder / "synth-nextpnr-ulx3s-85f"
    assert (made / "design.bit").read_bytes()[:2] == b"\xff\x00"
    report = json.loads((made / "report.json").read_text())
    assert report["routes"][0]["fmax_mhz"] > 25
    assert report["routes"][0]["path"]
    assert report["area"]["multipliers"] > 0
    assert report["bitstream"] == "design.bit"
    assert "Critical path of seed 1" in (made / "report.html").read_text()
