"""The register map, in the forms in which others read it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gen.registers import c_header, table
from rtl.register_map import REGISTERS, Register, register

MANUAL = Path(__file__).parents[2] / "docs" / "registers.md"


def test_no_two_words_share_an_address():
    offsets = [offset for one in REGISTERS for offset in one.offsets]
    assert offsets == sorted(set(offsets))


def test_the_manual_holds_the_table_of_this_map():
    assert MANUAL.read_text().endswith(table())


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_c_program_sees_the_same_numbers(tmp_path):
    names = re.findall(r"#define (INTARSIA_\w+) ", c_header())
    prints = "".join(f'printf("{name} %u\\n", {name});' for name in names)
    (tmp_path / "intarsia.h").write_text(c_header())
    (tmp_path / "m.c").write_text(
        f'#include <stdio.h>\n#include "intarsia.h"\n#include "intarsia.h"\n'
        f"int main(void) {{ {prints} return 0; }}\n"
    )
    command = ["cc", "-Wall", "-Werror", "-o", "m", "m.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "m"], capture_output=True, text=True, check=True).stdout
    values = {name: int(value) for name, value in map(str.split, said.splitlines())}
    assert values["INTARSIA_REGION_OUTPUTS"] == register("REGION").offset + 4
    assert values["INTARSIA_STATUS_ERROR"] == register("STATUS").mask("ERROR")
    for one in REGISTERS:
        if not one.words:
            assert values[f"INTARSIA_{one.name}"] == one.offset


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"offset": 2, "readable": True}, "offset must be a multiple of four, not 2"),
        ({"offset": 4}, "must be readable or writable"),
    ],
)
def test_a_register_that_cannot_be_is_refused(members, message):
    with pytest.raises(ValueError, match=message):
        Register("X", meaning="", **members)
