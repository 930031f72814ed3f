"""The command ``intarsia``."""

import contextlib
import json
import os
import sys
import tempfile
import zipfile
from itertools import repeat
from pathlib import Path
from typing import Any

import click

from gen.errors import ToolError, UserError

from .cli_silicon import COMMANDS
from .cli_unrolled import Bench, prune, unroll

__all__ = ["main"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def _line(error: object) -> None:
    print("intarsia:", " ".join(str(error).split()), file=sys.stderr)


class _Commands(click.Group):
    """Turns errors of a user's input into one line and a status."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        from sim.verilator import SimulationError

        try:
            status = super().main(*args, standalone_mode=False, **extra)
        except UserError as error:
            _line(error)
            status = BAD_INPUT
        except click.ClickException as error:
            _line(f"{error.format_message()} (see intarsia --help)")
            status = BAD_INPUT
        except ToolError as error:
            _line(error)
            status = FAILED
        except SimulationError as error:
            _line(f"the simulation failed: {error}")
            status = FAILED
        except (click.Abort, KeyboardInterrupt):
            _line("interrupted")
            status = INTERRUPTED
        sys.exit(status if isinstance(status, int) else 0)


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(package_name="intarsia", message="intarsia %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Quantised networks to FPGA accelerators, as plain Verilog, proved bit-exact.

    \b
    Example:  intarsia demo
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@main.command()
@click.argument("model", type=click.Path())
@click.pass_context
def check(context: click.Context, model: str) -> None:
    """Show what of MODEL maps, task by task; nothing is built.

    \b
    Example:  intarsia check model.tflite
    Status 1 if a task does not map.
    """
    from gen.frontends import load

    from .check import check as check_graph
    from .terminal import say, show

    graph = load(model)
    graph.check()
    tasks = check_graph(graph)
    rows = []
    for task in tasks:
        shapes = " + ".join(map(_shape, task.inputs)) + " → " + _shape(task.output)
        maps = task.obstacle or ("yes, as a view" if task.view else "yes")
        volumes = (task.macs, task.weight_bytes, task.input_bytes, task.output_bytes)
        rows.append((task.name, task.kind, shapes, *volumes, maps))
    headings = (">MACs", ">weight bytes", ">in bytes", ">out bytes", "maps")
    show(f"{graph.name}", ("task", "kind", "shapes", *headings), rows)
    macs, weights = graph.macs(), sum(task.weight_bytes for task in tasks)
    refused = sum(task.obstacle is not None for task in tasks)
    say(f"{len(tasks)} tasks, {macs:,} MACs, {weights:,} weight bytes")
    say(f"{refused} do not map" if refused else "every task maps")
    context.exit(FAILED if refused else 0)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


@main.command()
@click.argument("model", type=click.Path())
@click.option("--calibration", required=True, type=click.Path(), help="Sample inputs (.npz).")
@click.option("-o", "--output", required=True, type=click.Path(), help="The int8 model.")
@click.option("--format", "fmt", default="qdq", help="qdq (default) or qoperator.")
def quantize(model: str, calibration: str, output: str, fmt: str) -> None:
    """Quantise the float ONNX file MODEL to int8.

    \b
    The calibration file has an array per input, by name; its first axis counts samples.
    Example:  intarsia quantize float.onnx --calibration samples.npz -o int8.onnx
    """
    from gen.quantise_onnx import quantise

    from .terminal import progress, say

    if Path(output).is_dir():
        raise UserError(f"'{output}' is a folder; give the name of a file")
    with progress() as tell:
        tell("quantising")
        quantise(model, calibration, output, fmt=fmt)
    say(f"wrote {output}; look at it with: intarsia check {output}")


@main.command(name="compile")
@click.argument("model", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="The new folder.")
@click.option("--multipliers", type=int, help="Products in the array, at most [144].")
@click.option("--onchip", type=int, help="KB of buffers and weights, at most [512].")
@click.option("--offchip", type=int, help="Bytes per cycle of an AXI channel [16].")
@click.option("--channels", type=int, help="AXI channels: 1 (default) or 2, one for weights.")
@click.option("--board", "board_name", help="Take the budget from a board.")
@click.option("--memory", help="Schedule and constants in rom (default) or ram.")
@click.option("--policy", default="sequential", help="sequential (default), dataflow or auto.")
@click.option("--unroll", default="none", help="none (default), auto, all, or TASK,...")
@click.option("--luts", type=int, help="LUTs of all unrolled tasks, at most [20000].")
def compile_model(
    model: str,
    output: str,
    multipliers: int | None,
    onchip: int | None,
    offchip: int | None,
    channels: int | None,
    board_name: str | None,
    memory: str | None,
    policy: str,
    unroll: str,
    luts: int | None,
) -> None:
    """Compile MODEL into a new folder.

    \b
    Policies: sequential, one task after the other on one core; dataflow, each task on a core of its
    own; auto, the fastest of both and of everything between.
    Unrolled tasks have their weights in the logic; auto unrolls what is smaller than an array.

    \b
    Example:  intarsia compile model.tflite -o build --multipliers 144
              intarsia compile model.onnx -o build --board arty-a7-100t
    """
    from constraints.boards import board
    from gen.target import Target

    from .design import compile as compile_design
    from .folder import refuse_existing
    from .terminal import progress, say

    folder = Path(output)
    refuse_existing(folder)
    target = board(board_name).target() if board_name is not None else Target()
    options = {
        "multipliers": multipliers,
        "onchip_bytes": onchip * 1024 if onchip is not None else None,
        "offchip_bytes_per_cycle": offchip,
        "channels": channels,
        "memory": memory,
        "luts": luts,
    }
    given = {name: value for name, value in options.items() if value is not None}
    with progress() as tell:
        options = {"policy": policy, "unroll": unroll, "progress": tell}
        design = compile_design(model, target, **options, **given)
        tell("emitting Verilog")
        design.write(folder)
    schedule, bits = design.schedule, design.machine.schedule_bits()
    say(f"{design.graph.name}: {design.graph.macs():,} MACs in {len(schedule.phases)} phases")
    say(
        f"{'; '.join(map(_core, range(len(schedule.cores)), repeat(design)))}; "
        f"{schedule.onchip_bytes:,} bytes on chip; "
        f"weights {'streamed' if schedule.streamed else 'on chip'}; "
        f"schedule in {f'{bits:,} bits of ROM' if bits else 'RAM'}"
    )
    share = design.graph.macs() / (design.target.multipliers * design.prediction.cycles)
    say(f"{design.prediction.cycles:,} cycles predicted, {share:.1%} of all multipliers busy")
    say(f"wrote {folder}; simulate it with: intarsia simulate {folder}")


def _core(index: int, design: Any) -> str:
    """What a core is, in a few words."""
    g, product = design.schedule.cores[index].geometry, design.program.constants[index].product
    if product is None:
        return f"array {g.rows}x{g.cols}x{g.depth} = {g.multipliers} multipliers, {g.lanes} lanes"
    n, m = len(product.inputs), len(product.outputs)
    return f"unrolled {n}x{m} = {product.luts:,} LUTs, {g.lanes} lanes"


@main.command()
@click.argument("directory", type=click.Path())
@click.option("--input", "input_path", type=click.Path(), help="Array (.npy) or arrays (.npz).")
@click.option("--waves", is_flag=True, help="Write DIRECTORY/waves.fst of the first run.")
@click.option("--backpressure", type=click.IntRange(1, 2**32 - 1), help="Seed of random stalls.")
@click.pass_context
def simulate(
    context: click.Context,
    directory: str,
    input_path: str | None,
    waves: bool,
    backpressure: int | None,
) -> None:
    """Run the Verilog in DIRECTORY and compare it with the golden model.

    \b
    Without --input it runs random numbers.
    Example:  intarsia simulate build --input images.npy
    Status 1 if an output differs.
    """
    from .design import load
    from .terminal import progress, say, show

    folder = Path(directory)
    design = load(folder)
    x = _input(Path(input_path)) if input_path is not None else _random(design)
    seeds = () if backpressure is None else (backpressure,)
    with progress() as tell, tempfile.TemporaryDirectory(prefix="intarsia-") as name:
        path = Path(name, "waves.fst") if waves else None
        result = design.simulate(x, seeds=seeds, waves=path, progress=tell)
        if path is not None:
            _place(path, folder / path.name)
    predicted = design.prediction.cycles
    pairs = list(zip(result.cycles, result.stalls, strict=True))
    kinds = {pair: [i for i, p in enumerate(pairs) if p == pair] for pair in dict.fromkeys(pairs)}
    rows = [(_runs(runs), *pair, predicted) for pair, runs in kinds.items()]
    most = 20
    show(design.graph.name, ("run", ">cycles", ">stalls", ">predicted"), rows[:most])
    if len(rows) > most:
        say(f"and {len(rows) - most} more")
    say(f"{result.mismatches} mismatches in {len(pairs)} run(s), RTL against golden")
    if waves:
        say(f"wrote {folder / 'waves.fst'}")
    context.exit(FAILED if result.mismatches else 0)


def _runs(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    whole = numbers[-1] - numbers[0] == len(numbers) - 1
    return (
        f"{numbers[0]} to {numbers[-1]}" if whole else f"{numbers[0]} and {len(numbers) - 1} more"
    )


def _place(source: Path, target: Path) -> None:
    """Copy a file so that it is whole as soon as it is there."""
    import shutil

    partial = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    except OSError as error:
        raise UserError(f"cannot write '{target}': {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _input(path: Path) -> Any:
    """An array, or arrays by name, from a file of NumPy's."""
    import numpy as np

    advice = "write it with numpy.save, or numpy.savez for several inputs"
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.lib.npyio.NpzFile):
            with file:
                return {name: file[name] for name in file.files}
        return file
    except OSError as error:
        raise UserError(f"cannot read --input '{path}': {error.strerror or 'damaged'}") from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise UserError(f"--input '{path}' is not a file of numbers; {advice}") from error


def _random(design: Any) -> Any:
    import numpy as np

    from .arrays import file_shape, file_type

    rng = np.random.default_rng(1)
    result = {}
    for name in design.graph.inputs:
        tensor = design.graph.tensors[name]
        limits = np.iinfo(file_type(tensor))
        shape = file_shape(tensor)
        result[name] = rng.integers(limits.min, limits.max + 1, shape, dtype=file_type(tensor))
    return result


@main.command()
@click.argument("directory", type=click.Path())
def report(directory: str) -> None:
    """Write report.json and report.html into DIRECTORY.

    \b
    Example:  intarsia report build
    """
    from .design import load
    from .terminal import progress, say

    folder = Path(directory)
    design = load(folder)
    with progress() as tell:
        tell("writing the report")
        page = design.report(folder)
    say(f"wrote {page}")


@main.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Show which tools are here, and how to install those that are missing.

    \b
    Example:  intarsia doctor
    Status 1 if a tool is missing that Intarsia needs.
    """
    from .doctor import tools
    from .terminal import say, show

    found = tools()
    rows = [
        (t.name, t.purpose, t.needed, t.version or "missing", "" if t.version else t.install)
        for t in found
    ]
    show("tools", ("tool", "for", "needed", "found", "how to install"), rows)
    missing = [tool.name for tool in found if tool.needed and not tool.version]
    say(f"missing: {', '.join(missing)}" if missing else "everything that is needed is here")
    context.exit(FAILED if missing else 0)


@main.command(cls=Bench)
@click.argument("name")
@click.option("--full", is_flag=True, help="For silicon: with place and route.")
@click.option(
    "--folder", type=click.Path(), help="For silicon: where the tools work, and go on if stopped."
)
@click.option("--json", "json_path", type=click.Path(), help="Also write the rows as JSON.")
@click.pass_context
def bench(
    context: click.Context, name: str, full: bool, folder: str | None, json_path: str | None
) -> None:
    """Measure NAME: resnet8, ad, ad-offchip, all of them, intar, unrolled, digits, or silicon.

    \b
    The models lie in ../shared/models, or where INTARSIA_MODELS points.
    Example:  intarsia bench resnet8 --json resnet8.json
              intarsia bench intar --help
              intarsia bench unrolled --help
    Status 1 if an output differs.
    """
    from .bench import NAMES
    from .bench import bench as measure
    from .terminal import progress, say, show

    if name not in (*NAMES, "all", "silicon"):
        known = ", ".join((*NAMES, "intar", "unrolled", "digits", "silicon"))
        raise UserError(f"no benchmark is called '{name}'; there are {known} and all")
    if json_path is not None and not Path(json_path).absolute().parent.is_dir():
        raise UserError(f"--json '{json_path}' lies in a folder that does not exist")
    if folder is not None and name != "silicon":
        raise UserError(f"--folder is for silicon, not for '{name}'")
    if name == "silicon":
        from .cli_silicon import bench_silicon

        rows, good = bench_silicon(full, Path(folder) if folder else None)
        _write_rows(rows, json_path)
        context.exit(0 if good else FAILED)
    results = []
    with progress() as tell:
        for one in measure(NAMES if name == "all" else (name,), progress=tell):
            results.append(one)
    rows = [row for row, _ in results]
    figures = [(key, *(row[key] for row in rows)) for key in rows[0] if key != "workload"]
    headings = ("", *(f">{row['workload']}" for row in rows))
    show("RTL of the specialised machine", headings, figures)
    for row, compared in results:
        say(f"{row['workload']} on {row['multipliers']}: mismatches over {compared}")
    _write_rows(rows, json_path)
    context.exit(FAILED if any(row["mismatches"] for row in rows) else 0)


def _write_rows(rows: list[dict[str, Any]], json_path: str | None) -> None:
    if json_path is not None:
        with tempfile.TemporaryDirectory(prefix="intarsia-") as folder:
            source = Path(folder, "rows.json")
            source.write_text(json.dumps(rows, indent=2) + "\n")
            _place(source, Path(json_path))


@main.command()
@click.option("-o", "--output", type=click.Path(), help="The new folder [intarsia-demo].")
@click.option("--digits", type=click.IntRange(1, 360), default=360, help="How many [360].")
@click.pass_context
def demo(context: click.Context, output: str | None, digits: int) -> None:
    """Compile a model of handwritten digits and simulate it in Verilator.

    \b
    Example:  intarsia demo
    Status 1 if an output differs.
    """
    from .demo import demo as run_demo
    from .demo import free_folder
    from .terminal import progress, say, show

    folder = Path(output) if output is not None else free_folder("intarsia-demo")
    with progress() as tell:
        result = run_demo(folder, digits, tell)
    multipliers = result.design.target.multipliers
    rows: list[tuple[Any, ...]] = []
    for layer in result.layers:
        share = layer.efficiency(multipliers)
        shown = None if share is None else f"{share:.1%}"
        rows.append((layer.name, layer.macs, layer.predicted, layer.measured, shown))
    predicted, cycles = result.design.prediction.cycles, result.simulation.cycles[0]
    macs = result.design.graph.macs()
    rows.append(("all", macs, predicted, cycles, f"{macs / (multipliers * cycles):.1%}"))
    title = f"handwritten digits on {multipliers} multipliers"
    headings = ("layer", ">MACs", ">predicted cycles", ">measured cycles", ">efficiency")
    show(title, headings, rows)
    wrong = result.simulation.mismatches
    say(f"RTL against golden: {wrong} outputs differ on {result.digits} digits")
    say(f"accuracy: RTL {result.accuracy:.1%}, float model {result.float_accuracy:.1%}")
    say(f"Verilog:  {result.folder / 'design.v'}")
    say(f"waveform: {result.waves}")
    say(f"report:   {result.report}")
    context.exit(FAILED if wrong else 0)


for _command in (*COMMANDS, prune, unroll):
    main.add_command(_command)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
