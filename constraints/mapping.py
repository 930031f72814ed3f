"""Mapping: modules of a design replaced by what a family of FPGAs does better."""

import re
from pathlib import Path

__all__ = ["FILES", "mapped"]

_PRODUCT = r"product_(?P<A_BITS>\d+)x(?P<B_BITS>\d+)"
WIDEST = {"xc7": 25, "xcu": 27, "xcup": 27, "ecp5": 18}
"""Bits of the wider factor that a slice takes, signed; the other has 18."""

_PAIR = {"pair": "pair_dsp48e2.v"}
FILES = {
    family: {_PRODUCT: "product.v"} | (_PAIR if family.startswith("xcu") else {})
    for family in WIDEST
}
"""Per family, the file with the body of each module whose name matches; ``NAME``, ``WIDEST`` and
the groups of the match stand in it as words."""


def mapped(verilog: str, family: str) -> str:
    """The design with its modules' bodies for this family; unchanged where there are none."""
    for module, file in FILES.get(family, {}).items():
        body = (Path(__file__).parent / file).read_text(encoding="utf-8")
        pattern = rf"^module (?P<NAME>{module})\(.*?^endmodule\n"

        def replaced(found: re.Match[str], body: str = body) -> str:
            for word, value in (found.groupdict() | {"WIDEST": str(WIDEST[family])}).items():
                body = re.sub(rf"\b{word}\b", value, body)
            return body

        verilog = re.sub(pattern, replaced, verilog, flags=re.MULTILINE | re.DOTALL)
    return verilog
