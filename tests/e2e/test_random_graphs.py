"""Random graphs on machines that were built before: RTL equals golden, stalls or not."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gen.bands import Turns
from gen.check import check
from gen.errors import UserError
from gen.fit import schedule_on
from gen.graph import Graph
from gen.order import groups_per_pixel
from gen.program import program
from gen.schedule import Schedule
from gen.timing import predict
from gen.turns import ways
from gen.work import Work
from sim import golden
from sim.execute import execute
from tests.e2e.machines import MACHINES, built
from tests.random_graphs import graphs, images, matrices, random_inputs, separable, skips

QUICK, SLOW = 120, 1500


def _bins(schedule: Schedule) -> set[str]:
    """What a schedule exercises."""
    bins = set()
    for phase in schedule.phases:
        op, g = phase.operation, schedule.geometry(phase)
        if phase.core:
            bins.add("several cores")
        if phase.gather.producer not in (None, phase.core):
            bins.add("a core reads what another writes")
        if any(count for core, count in enumerate(phase.epilogue.stored) if core != phase.core):
            bins.add("an operand from another core")
        if op.window.pixel_count % g.rows:
            bins.add("partial rows")
        if op.outputs % g.cols:
            bins.add("partial columns")
        if groups_per_pixel(op, g) * g.lanes != op.outputs:
            bins.add("partial lanes")
        if op.weights is not None and op.weights.shape[1] % g.depth:
            bins.add("partial depth")
        if op.residual is not None:
            bins.add("residual product" if op.residual.multiply else "residual addition")
        if op.weights is not None and op.residual is not None:
            bins.add("fused product" if op.residual.multiply else "fused addition")
        if op.table is not None:
            bins.add("lookup")
        if op.softmax is not None:
            bins.add("softmax")
        if op.maximum:
            bins.add("maximum")
        if op.factor is not None:
            bins.add("weights computed")
        if op.weights is not None and phase.gather.step:
            bins.add("rows read while others are written")
        segments = op.window.segments
        if segments is not None:
            bins.add("sums of lines" if segments.sums else "strips")
            bins |= {"partial strip"} if segments.tail < segments.columns else set()
            bins |= {"lines skipped"} if segments.skip else set()
            bins |= {"several patterns"} if len(segments.patterns) > 1 else set()
            bins |= {"blocks of channels"} if op.window.repeats > 1 else set()
            bins |= {"panels"} if op.window.repeat_step > op.window.run else set()
            bins |= {"segments and lookup"} if op.table is not None else set()
            bins |= {"pixels shown twice"} if segments.doubled else set()
            bins |= {"pooled"} if op.pool else set()
            bins |= {"sums of lines shown twice"} if segments.sums and segments.doubled else set()
            bins |= {"sums pooled"} if segments.sums and op.pool else set()
            bins |= {"bands"} if not segments.sums and op.window.rows > 1 else set()
            bins |= {"vectors"} if op.residual is not None else set()
        if op.even is not None:
            bins.add("halves to even" if op.even else "halves away from zero")
        if np.any(op.shift > 0) and g.element_bytes == 1:
            bins.add("left shift")
        if "_rows" in op.name and phase.operation.tasks != schedule.phases[-1].operation.tasks:
            bins.add("turns")
        for use, life in (("gathered", phase.source), ("added", phase.residual)):
            if life is not None and schedule.lifetimes[life].ring is not None:
                bins.add(f"{use} from a ring")
        if schedule.lifetimes[phase.sink].ring is not None:
            bins.add("written to a ring")
    made = {schedule.lifetimes[phase.sink].storage for phase in schedule.phases}
    for life in schedule.lifetimes:
        if life.ring is not None and life.ring.back is not None:
            bins.add("rows back from off chip")
            bins |= set() if life.ring.back in made else {AGAIN}
        if life.ring is not None and life.ring.size < life.extent:
            bins.add("a ring goes round")
    if len(schedule.phases) > 1:
        bins.add("several phases")
    if schedule.streamed:
        bins.add("weights off chip")
    if any(life.spilled for life in schedule.lifetimes):
        bins.add("spilled tensor")
    return bins


RINGS = {"turns", "gathered from a ring", "written to a ring", "rows back from off chip"}
RINGS |= {"a ring goes round"}
AGAIN = "an input comes for several tasks"

WANTED = {
    "row": {"partial columns", "partial lanes", "partial depth", "lookup", "softmax", "maximum"},
    "rows": {"partial rows", "residual addition", "several phases", "left shift"}
    | {"halves to even", "halves away from zero"},
    "blocks": {"weights off chip", "fused addition", "rows read while others are written"},
    "scarce": {"spilled tensor", "residual addition", "weights off chip"},
    "wide": {"partial columns", "partial lanes", "partial depth", "lookup", "softmax", "maximum"}
    | {"residual addition", "residual product", "fused addition", "fused product"},
    "wide-rows": {"partial rows", "weights off chip", "spilled tensor", "fused product"}
    | {"weights computed"}
    | {"rows read while others are written", "softmax"},
    "segments": {"strips", "partial strip", "sums of lines", "lines skipped", "several patterns"}
    | {"panels", "blocks of channels", "weights off chip", "segments and lookup"},
    "wide-segments": {"pixels shown twice", "bands", "vectors", "weights off chip"},
    "rings": RINGS | {"partial rows", "partial columns", "added from a ring", "several phases"},
    "ring-segments": RINGS | {"strips", "sums of lines", "partial strip"},
    "wide-rings": RINGS | {AGAIN, "pixels shown twice", "pooled"},
    "wide-lines": RINGS | {AGAIN, "sums of lines shown twice", "sums pooled"},
    "pair": {"several cores", "a core reads what another writes", "weights off chip", "softmax"}
    | {"residual addition", "rows read while others are written", "an operand from another core"},
}


def _turns(graph: Graph, seed: int, work: Work) -> Turns:
    """Some operations of ``work`` take turns, or stream what lies between them."""
    rng = np.random.default_rng(seed)
    together = bool(rng.integers(2))
    every = [*ways(work, graph.inputs, graph.outputs, together=together)]
    choices = every[rng.integers(len(every))]
    way = choices[rng.integers(len(choices))]
    bands = rng.integers(1, 9, len(way.runs)).tolist()
    return way.turns(bands, int(rng.integers(2)), even=bool(rng.integers(2)))


def _property(name: str, examples: int, seed: int) -> Counter:
    """Runs ``examples`` graphs; returns how many hit each bin, and how many ran."""
    machine, simulator = built(name)
    hit: Counter = Counter()

    bits = machine.config.element_bits
    strategies = [graphs(wide=machine.config.weight_bits == 9, bits=bits, most=4 + seed)]
    strategies.append(skips(size=320 if name in ("scarce", "wide-rows") else 160, bits=bits))
    if bits == 16 and machine.config.depth == 1:
        strategies.append(matrices())
    if machine.config.patterns:
        own = separable() if bits == 8 else images()
        strategies = [own] * 3 + strategies[:1]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(
        st.one_of(strategies),
        st.booleans(),
        st.integers(1, 2**31),
    )
    def runs_exactly(graph, streamed, stalls):
        turns = partial(_turns, graph, stalls) if machine.config.rings else None
        try:
            schedule = schedule_on(graph, machine.config, streamed=streamed, turns=turns)
            compiled = program(schedule)
            list(machine.load(compiled))
        except UserError:
            hit["does not fit"] += 1
            return
        check(schedule)
        inputs = random_inputs(graph, stalls)
        expected = golden.run(graph, inputs)
        runs = execute(
            simulator, machine, schedule, compiled, graph, [inputs, inputs], seeds=[0, stalls]
        )
        for run in runs:
            for output in graph.outputs:
                np.testing.assert_array_equal(run.outputs[output], expected[output])
        predicted = predict(schedule, machine.config).cycles
        hit["predicted exactly"] += predicted == runs[0].cycles
        hit["ran"] += 1
        hit.update(_bins(schedule))

    runs_exactly()
    return hit


@pytest.mark.parametrize("name", MACHINES)
def test_rtl_equals_golden_on_random_graphs_with_and_without_stalls(name):
    hit = _property(name, QUICK, seed=0)
    print(f"{name}: {dict(hit)}")
    assert hit["ran"] >= QUICK // 2
    assert hit["predicted exactly"] >= 0.99 * hit["ran"]
    missing = WANTED[name] - {bin for bin, count in hit.items() if count}
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
def test_rtl_equals_golden_on_thousands_of_random_graphs(name):
    hit = _property(name, SLOW, seed=1)
    print(f"{name}: {dict(hit)}")
    assert hit["ran"] >= SLOW // 2
