"""Emission: one readable, deterministic Verilog file from an accelerator.

The only place that calls Yosys to write Verilog. Shared modules (one processing tile, one epilogue
lane) are converted once and instantiated, so the file holds no copies of them.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil

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
    with tempfile.TemporaryDirectory(prefix="intarsia-") as name:
        folder = Path(name)
        commands = []
        for i, part in enumerate(parts):
            (folder / f"{i}.il").write_text(part)
            commands.append(f"read_rtlil {i}.il")
        commands += [
            f"hierarchy -check -top {TOP}",
            "proc -norom",
            "opt_expr",
            "opt_clean",
            "memory_collect",
            "write_verilog -noattr -sv out.v",
        ]
        (folder / "emit.ys").write_text("\n".join(commands) + "\n")
        # A process of its own keeps Yosys's log off the terminal, and its crashes away from here.
        run = "import sys, pyosys.libyosys as y; y.run_pass('script emit.ys'); sys.exit(0)"
        done = subprocess.run(
            [sys.executable, "-c", run], cwd=folder, capture_output=True, text=True, check=False
        )
        target = folder / "out.v"
        if done.returncode or not target.exists():
            raise RuntimeError(f"Yosys failed: {(done.stderr or done.stdout)[-2000:]}")
        text = target.read_text()
    return _HEADER + text[text.index("\n") + 1 :]
