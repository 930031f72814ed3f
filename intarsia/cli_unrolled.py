"""The commands ``intarsia unroll``, ``prune``, ``bench unrolled`` and ``bench digits``."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gen.errors import UserError

from .cli_intar import intar

__all__ = ["Bench", "digits", "prune", "unroll", "unrolled"]


class Bench(click.Command):
    """``intarsia bench``, of which some benchmarks have options of their own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        own = {"unrolled": unrolled, "intar": intar, "digits": digits}
        if args[:1] and args[0] in own:
            return own[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def _several(name: str, words: str) -> Callable[[Any], Any]:
    return click.option(f"--{name}", f"{name}s", multiple=True, help=words)


@click.command()
@click.option("--full", is_flag=True, help="Every kernel, width, sparsity and flow: days.")
@_several("kernel", "NAME/SIZE, such as conv1d-fu/mini; may be repeated, as all that follow.")
@_several("arithmetic", "exact (signed, whole) or kratos (unsigned, modulo).")
@_several("width", "1, 2, 4, 8 or mixed.")
@click.option("--sparsity", "sparsities", type=float, multiple=True, help="Share of zeros.")
@_several("flow", "xcup, xcup-ternary, ecp5, ecp5-fmax, lut3 to lut6, or model.")
@_several("generator", "array, plain, da4ml, alkaid, ours, ours-10x.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Of the random weights [1].")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="That ours takes [as many as the better of da4ml and alkaid].",
)
@click.option(
    "--chips", type=click.IntRange(1), help="For each kernel in ecp5-fmax [as few as it fits in]."
)
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes [one a core].")
@click.option("--scheduler", help="Address of a Dask scheduler that runs the cases instead.")
@click.option("--json", "json_path", type=click.Path(), help="Write the rows as JSON.")
@click.option("--csv", "csv_path", type=click.Path(), help="Write the rows as CSV.")
@click.option("--plots", type=click.Path(), help="Write plots into this folder.")
@click.option("--vtr", type=click.Path(), help="Write BLIF and Verilog into this folder.")
@click.pass_context
def unrolled(
    context: click.Context,
    full: bool,
    generators: tuple[str, ...],
    seconds: float | None,
    chips: int | None,
    workers: int | None,
    scheduler: str | None,
    json_path: str | None,
    csv_path: str | None,
    plots: str | None,
    vtr: str | None,
    **chosen: tuple[Any, ...],
) -> None:
    """Measure layers whose weights are the circuit, by generator and flow.

    \b
    Without options a few small ones run. What is given replaces it, and the rest is
    kernel vector/16, both arithmetics, width 8, sparsity 0.5 and 0.9, flow xcup-ternary.
    Example:  intarsia bench unrolled --kernel vector/64 --sparsity 0.9 --csv rows.csv
    Status 1 if an output differs.
    """
    from .bench_unrolled import GENERATORS, QUICK, as_json, bench, ratios, write_csv, write_vtr
    from .terminal import progress, say, show

    for name, path in (("json", json_path), ("csv", csv_path)):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise UserError(f"--{name} '{path}' lies in a folder that does not exist")
    wanted = _cases(full, chosen) if full or any(chosen.values()) else QUICK
    rows = []
    with progress() as tell:
        for row in bench(
            wanted,
            generators=generators or GENERATORS,
            workers=workers or os.cpu_count() or 1,
            scheduler=scheduler,
            seconds=seconds,
            chips=chips,
            progress=tell,
        ):
            rows.append(row)
            # Written as they come, so that a long run that is stopped leaves what it has.
            if csv_path is not None:
                write_csv(rows, Path(csv_path))
        if vtr is not None:
            tell("writing BLIF")
            write_vtr(wanted, Path(vtr))
    rows.sort(key=lambda row: (*_key(row), GENERATORS.index(row.generator)))
    names = ("chips", "LUTs", "FFs", "carries", "MHz", "latency", "adders", "mismatches", "seconds")
    table = [
        (
            *(str(part) for part in _key(one)),
            *(one.generator, one.chips, one.luts, one.ffs, one.carries, one.fmax_mhz, one.latency),
            *(one.adders, one.mismatches, one.seconds_generate),
        )
        for one in rows
    ]
    case = ("kernel", "arithmetic", "width", "sparsity", "flow", "seed", "generator")
    show("unrolled layers", (*case, *(f">{name}" for name in names)), table)
    for one, name, ratio in ratios(rows):
        say(f"{_words(one)}: {name} has {ratio:.3f} of the LUTs of the better of the others")
    if json_path is not None:
        Path(json_path).write_text(as_json(rows), encoding="utf-8")
    if csv_path is not None:
        write_csv(rows, Path(csv_path))
    if plots is not None:
        from .unrolled_plots import plot

        for path in plot(rows, Path(plots)):
            say(f"wrote {path}")
    context.exit(1 if any(row.mismatches for row in rows) else 0)


def _key(row: Any) -> tuple[Any, ...]:
    kernel = f"{row.kernel}/{row.size}"
    return (kernel, row.arithmetic, row.width, row.sparsity, row.flow, row.seed)


def _words(case: Any) -> str:
    return " ".join(str(part) for part in _key(case))


def _cases(full: bool, chosen: dict[str, tuple[Any, ...]]) -> Any:
    from .bench_unrolled import cases

    small = {
        "kernels": ("vector/16",),
        "widths": ("8",),
        "sparsities": (0.5, 0.9),
        "flows": ("xcup-ternary",),
    }
    options: dict[str, Any] = {} if full else dict(small)
    options |= {name: values for name, values in chosen.items() if values}
    if "kernels" in options:
        pairs = [text.partition("/") for text in options["kernels"]]
        options["kernels"] = tuple((name, size) for name, _, size in pairs)
    return cases(**options)


@click.command()
@click.option("--images", type=click.IntRange(1, 360), default=360, help="How many [360].")
@click.option("--json", "json_path", type=click.Path(), help="Write the rows as JSON.")
@click.pass_context
def digits(context: click.Context, images: int, json_path: str | None) -> None:
    """Measure a sparse digits network of 4 bits: unrolled whole, in a schedule, and on an array.

    \b
    Its int8 sister on an array stands beside it.
    Example:  intarsia bench digits --json digits.json
    Status 1 if an output differs.
    """
    import json
    from dataclasses import asdict

    from .bench_digits import bench
    from .terminal import progress, show

    if json_path is not None and not Path(json_path).absolute().parent.is_dir():
        raise UserError(f"--json '{json_path}' lies in a folder that does not exist")
    rows: list[dict[str, Any]] = []
    with progress() as tell:
        for row in bench(images, tell):
            rows.append(asdict(row))
            # Written as they come, as mapping a design takes minutes.
            if json_path is not None:
                Path(json_path).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    names = [name if name in ("model", "form") else f">{name}" for name in rows[0]]
    show("digits", tuple(names), [tuple(row.values()) for row in rows])
    context.exit(1 if any(row["mismatches"] for row in rows) else 0)


@click.command()
@click.argument("model", type=click.Path())
@click.option("--sparsity", required=True, type=float, help="Share of zeros, from 0 to 1.")
@click.option("-o", "--output", required=True, type=click.Path(), help="The pruned model.")
def prune(model: str, sparsity: float, output: str) -> None:
    """Set the smallest weights of every product in the ONNX file MODEL to zero.

    \b
    A convenience: train the model further afterwards if its accuracy matters.
    Example:  intarsia prune --sparsity 0.8 model.onnx -o pruned.onnx
    """
    from gen.prune import prune as prune_model

    from .terminal import say

    if Path(output).is_dir():
        raise UserError(f"'{output}' is a folder; give the name of a file")
    for name, share in prune_model(model, output, sparsity).items():
        say(f"{name}: {share:.1%} zeros")
    say(f"wrote {output}; look at it with: intarsia check {output}")


@click.command()
@click.argument("model", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="The Verilog file.")
def unroll(model: str, output: str) -> None:
    """Write MODEL, whole, as one circuit that takes an input a cycle.

    \b
    For chains of products of vectors. Module network has a stream for inputs and one for outputs;
    nothing is scheduled. To unroll some tasks of a schedule: intarsia compile --unroll.
    Example:  intarsia unroll model.onnx -o network.v
    """
    from gen.emit import component_verilog
    from gen.frontends import load
    from gen.unrolled.network import network
    from rtl.unrolled.product import row_source
    from rtl.unrolled.streamed import Streamed

    from .terminal import progress, say

    path = Path(output)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError(f"'{output}' must be the name of a file in a folder that exists")
    with progress() as tell:
        tell("reading the model")
        made = network(load(Path(model)), progress=tell)
        block = Streamed(made.component())
        tell("emitting Verilog")
        text = component_verilog(block, "network", complete=False)
        path.write_text(f"{text}\n{row_source()}", encoding="utf-8")
    for layer in made.layers:
        n, m = layer.product.matrix.shape
        zeros = 1 - (layer.product.matrix != 0).mean()
        say(f"{layer.name}: {n}x{m}, {zeros:.0%} zeros, {layer.product.luts:,} LUTs of adders")
    inputs, outputs = block.i.payload.shape(), block.o.payload.shape()
    say(
        f"{inputs.length} inputs of {inputs.elem_shape.width} bits, {outputs.length} outputs of "
        f"{outputs.elem_shape.width} bits; an input a cycle, latency {block.latency} cycles"
    )
    say(f"wrote {path}")
