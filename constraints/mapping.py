"""Mapping: modules of a design replaced by what a family of FPGAs does better."""

import re
from pathlib import Path

__all__ = ["FILES", "mapped"]

FILES = {"xcu": {"pair": "pair_dsp48e2.v"}, "xcup": {"pair": "pair_dsp48e2.v"}}
"""Per family, the file with the body of a module."""


def mapped(verilog: str, family: str) -> str:
    """The design with its modules' bodies for this family; unchanged where there are none."""
    for module, file in FILES.get(family, {}).items():
        body = (Path(__file__).parent / file).read_text(encoding="utf-8")
        pattern = rf"^module {module}\(.*?^endmodule\n"
        verilog = re.sub(pattern, lambda _, b=body: b, verilog, flags=re.MULTILINE | re.DOTALL)
    return verilog
