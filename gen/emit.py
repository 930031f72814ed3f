"""Emission: one readable, deterministic Verilog file from an accelerator.

The only place that calls Yosys to write Verilog. Shared modules (one processing tile, one epilogue
lane) are converted once and instantiated, so the file holds no copies of them.
"""

import re
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from pyosys import libyosys

from rtl.accelerator import Accelerator

__all__ = ["TOP", "verilog"]

TOP = "accelerator"

_HEADER = "// Written by Intarsia. Generated from a schedule: change the model or the target instead.\n"


def _rtlil(component, name: str) -> str:
    """RTLIL of one component whose modules are named ``name`` and ``name_<path>``."""
    text = rtlil.convert(component, name=name, emit_src=False)
    text = re.sub(rf"\\{name}\.([\w.]+)", lambda found: rf"\{found[1].replace('.', '_')}", text)
    return re.sub(r"\\(s_axil|m_axi\d+)__", r"\\\1_", text)


def verilog(accelerator: Accelerator) -> str:
    """Verilog of ``accelerator``, top module :data:`TOP`; the same text every time."""
    parts = [_rtlil(accelerator, TOP)]
    parts += [_rtlil(component, name) for name, component in accelerator.shared().items()]
    with tempfile.TemporaryDirectory() as folder:
        design = libyosys.Design()
        for i, part in enumerate(parts):
            source = Path(folder) / f"{i}.il"
            source.write_text(part)
            libyosys.run_pass(f"tee -q read_rtlil {source}", design)
        target = Path(folder) / "out.v"
        for command in (
            f"hierarchy -check -top {TOP}",
            "proc -norom",
            "opt_expr",
            "opt_clean",
            "memory_collect",
            f"write_verilog -noattr -sv {target}",
        ):
            libyosys.run_pass(f"tee -q {command}", design)
        text = target.read_text()
    body = text[text.index("\n") + 1 :]
    return _HEADER + body
