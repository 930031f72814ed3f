"""Machine: the hardware before any program, and its specialisation to the programs it shall run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rtl.accelerator import Accelerator, Contents, CoreContents
from rtl.config import Config, numbered
from rtl.fetch import TENSOR
from rtl.loops import Loops
from rtl.words import Fields, narrowed, word_fields

from .errors import UserError
from .loops import folded
from .program import Program, Word

__all__ = ["Machine", "specialise", "wrapped"]


@dataclass(frozen=True)
class Machine:
    """Sizes, the fields of each unit's words, and, where memories are ROM, their contents."""

    config: Config
    fields: Mapping[str, Fields]
    program: Program | None = None

    @staticmethod
    def general(config: Config) -> "Machine":
        """A machine with RAM for schedules and constants, which runs any program that fits."""
        return Machine(config.shared(loadable=True), word_fields(config))

    def accelerator(self) -> Accelerator:
        """Its circuit."""
        if self.program is None:
            return Accelerator(self.config, fields=self.fields)
        contents = Contents(
            programs=self._programs,
            cores=tuple(
                CoreContents(
                    c.weights,
                    c.biases,
                    c.scales,
                    c.tables,
                    c.exponent_words,
                    product=c.product.graph if c.product is not None else None,
                    stages=c.product.stages.tolist() if c.product is not None else (),
                )
                for c in self.program.constants
            ),
        )
        return Accelerator(self.config, fields=self.fields, contents=contents)

    @cached_property
    def _programs(self) -> dict[str, Sequence[int] | Loops]:
        """What each unit's ROM holds; nothing where programs lie in RAM."""
        if self.program is None:
            return {}
        return {
            unit: folded([self.fields[unit].pack(w) for w in words], self.fields[unit].widths)
            for unit, words in wrapped(self.program, self.config).items()
        }

    def schedule_bits(self) -> int:
        """Bits of ROM that hold the schedule; 0 where it lies in RAM."""
        return sum(
            len(held.steps) * held.width
            if isinstance(held, Loops)
            else len(held) * self.fields[unit].width
            for unit, held in self._programs.items()
        )

    def load(self, program: Program) -> Iterable[tuple[int, int, list[int]]]:
        """``(select, first index, 32-bit slices)`` of each memory that ``program`` fills.

        Raises
        ------
        UserError
            If the machine is too small for the program, naming the memory.
        """
        config = self.config
        widths = Accelerator.load_widths(config, self.fields)
        selects = {name: place for place, name in enumerate(widths)}
        images: dict[str, Sequence[int]] = {}
        for unit, words in wrapped(program, config).items():
            try:
                images[unit] = [self.fields[unit].pack(word) for word in words]
            except ValueError as error:
                raise UserError(f"the machine cannot run the program: {unit}: {error}") from None
        depths = dict.fromkeys(config.units, config.program_words)
        for index, (core, c) in enumerate(zip(config.cores, program.constants, strict=True)):
            memories = {
                "weights": (c.weights, core.weight_words),
                "bias": (c.biases, core.bias_words),
                "scale": (c.scales, core.scale_words),
                "table": (c.tables, 256 * core.tables),
                "exponent": (c.exponent_words, 256 * core.exponents),
            }
            for name, (image, depth) in memories.items():
                images[numbered(name, index)] = image
                depths[numbered(name, index)] = depth
        images = {name: words for name, words in images.items() if name in widths}
        for name, words in images.items():
            if len(words) > depths[name]:
                raise UserError(
                    f"the machine's {name} memory holds {depths[name]} words, "
                    f"the program needs {len(words)}"
                )
            slices = -(-widths[name] // 32)
            data = [(word >> (32 * i)) & 0xFFFF_FFFF for word in words for i in range(slices)]
            if data:
                yield selects[name], 0, data
        for place, unit in enumerate(config.units):
            yield selects["counts"], place, [len(program.words[unit])]


def wrapped(program: Program, config: Config) -> dict[str, tuple[Word, ...]]:
    """The program's words with addresses and tokens modulo their widths in the machine."""
    widths = {"address": config.address_bits, "need": config.token_bits}
    wrapped = {name: 1 << width for name, width in widths.items()}
    addressed = {
        unit: tuple(
            w | {n: w[n] % size for n, size in wrapped.items() if n in w}
            for w in program.words[unit]
        )
        for core in range(config.core_count)
        for unit in (numbered("gather", core), numbered("epilogue", core))
    }
    return {**program.words, **addressed}


def _links(program: Program) -> tuple[tuple[str, int], ...]:
    """Ports and buffers that some word connects."""
    words = program.words
    links: set[tuple[str, int]] = set()
    for core in range(len(program.constants)):
        gather, store, residual = (numbered(n, core) for n in ("gather", "store", "residual"))
        links |= {(gather, w["buffer"]) for w in words[gather]}
        epilogue = words[numbered("epilogue", core)]
        links |= {(store, w["buffer"]) for w in epilogue}
        links |= {(residual, w["residual_buffer"]) for w in epilogue if _seconded(w)}
    links |= {("fetch", w["buffer"]) for w in words["fetch"] if w["target"] == TENSOR}
    links |= {("send", w["buffer"]) for w in words["send"]}
    return tuple(sorted(links))


def _seconded(word: Word) -> bool:
    """Whether an epilogue's word has a second operand."""
    return bool(word["add"] or word.get("multiply"))


def specialise(machine: Machine, program: Program, sums: Sequence[int] = ()) -> Machine:
    """The machine that runs ``program`` and nothing else.

    Schedule and constant memories become ROM, links that no word uses disappear, fields and tokens
    shrink to the values that occur, and units for additions, tables and maxima stay only where a
    word asks for them. ``sums`` are the accumulator bits that each core needs, by default those
    that it has.
    """
    first, *others = machine.config.cores
    token_bits = max(1, _most_counted(program, machine.config).bit_length() + 1)
    shared = {"loadable": False, "links": _links(program), "token_bits": token_bits}
    cores = [
        replace(core, others=(), **shared, **_pruned(core, program, index))
        for index, core in enumerate((first, *others))
    ]
    if sums:
        cores = [replace(c, accumulator_bits=n) for c, n in zip(cores, sums, strict=True)]
    config = replace(cores[0], others=tuple(cores[1:]))
    general = word_fields(config)
    words = wrapped(program, config)
    fields = {unit: narrowed(general[unit], words[unit]) for unit in config.units}
    return Machine(config, fields, program)


def _pruned(core: Config, program: Program, index: int) -> dict[str, Any]:
    """What is left of a core's memories and features."""
    c = program.constants[index]
    epilogue = program.words[numbered("epilogue", index)]
    return {
        "weight_words": max(core.weight_words if core.streamed else 1, c.resident_words),
        "bias_words": c.bias_words,
        "scale_words": c.scale_words,
        "tables": len(c.tables) // 256,
        "exponents": len(c.exponent_words) // 256,
        "softmax_groups": core.softmax_groups if any(w["softmax"] for w in epilogue) else 0,
        "residual": any(map(_seconded, epilogue)),
        "multiply": any(w.get("multiply") for w in epilogue),
        "pool": max((w["pool_row"] + 1 for w in epilogue if w.get("pool")), default=0),
        "maximum": any(w["maximum"] for w in program.words[numbered("core", index)]),
        "even": any(w.get("even") for w in epilogue),
    }


def _most_counted(program: Program, config: Config) -> int:
    """The largest progress that any token names or any counter reaches."""
    words = program.words
    beats = max(sum(w["beats"] for w in words[unit]) for unit in config.fetchers)
    groups = max((w["stored"] for w in words["send"]), default=0)
    limits = max((w["limit"] for w in program.words_of("gather")), default=0)
    most = max(beats, groups, limits)
    for index in range(config.core_count):
        core = words[numbered("core", index)]
        passes = sum((w["passes"] + 1) * (w["tiles"] + 1) for w in core)
        need = max((w["need"] + w["passes"] * w["pass_need"] for w in core), default=0)
        stored = sum(
            (w["tiles"] * w["burst"] + w["burst_last_tile"]) * w["passes"]
            + w["tiles"] * w["burst_last_pass"]
            + w["burst_last"]
            for w in core
        )
        most = max(most, passes, need, stored)
    return most
