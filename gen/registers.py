"""The register map as others read it: a C header, and a table for the manual."""

from collections.abc import Iterator

from rtl.register_map import REGISTERS, VERSION, Register

__all__ = ["c_header", "table"]

_PREFIX = "INTARSIA_"


def _access(one: Register) -> str:
    return {(1, 0): "read", (0, 1): "write", (1, 1): "read, write"}[one.readable, one.writable]


def _words(one: Register) -> Iterator[tuple[str, int]]:
    """Name and offset of each word."""
    for i, offset in enumerate(one.offsets):
        yield (f"{one.name}_{one.words[i]}" if one.words else one.name), offset


def c_header() -> str:
    """Offsets of the registers and masks of their bits, for C and C++."""
    lines = ["/* Register map. Written by Intarsia. */", "#ifndef INTARSIA_H", "#define INTARSIA_H"]
    lines += ["", f"#define {_PREFIX}MAP_VERSION 0x{VERSION:08x}u"]
    for one in REGISTERS:
        lines += ["", f"/* {one.meaning} ({_access(one)}) */"]
        lines += [f"#define {_PREFIX}{name} 0x{offset:02x}u" for name, offset in _words(one)]
        for bit in one.bits:
            name = f"{_PREFIX}{one.name}_{bit.name}"
            lines.append(f"#define {name} 0x{one.mask(bit.name):08x}u /* {bit.meaning} */")
    return "\n".join([*lines, "", "#endif", ""])


def table() -> str:
    """The same in Markdown."""
    lines = ["| offset | register | access | meaning |", "|---|---|---|---|"]
    for one in REGISTERS:
        meaning = one.meaning
        for bit in one.bits:
            meaning += f" Bit {bit.place}, {bit.name}: {bit.meaning}."
        for name, offset in _words(one):
            lines.append(f"| 0x{offset:02x} | {name} | {_access(one)} | {meaning} |")
    return "\n".join(lines) + "\n"
