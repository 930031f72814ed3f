"""Random graphs of very different volumes, random budgets, the three policies: RTL is golden."""

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gen.check import check
from gen.errors import UserError
from gen.policy import POLICIES
from gen.schedule import SPILLS
from gen.target import Target
from intarsia.design import compile
from tests.random_graphs import random_inputs, volumes

TARGETS = st.builds(
    Target,
    multipliers=st.integers(12, 48),
    onchip_bytes=st.sampled_from((2 << 10, 4 << 10, 8 << 10, 64 << 10)),
    offchip_bytes_per_cycle=st.sampled_from((4, 8, 16)),
)


def _every_value_is_golden(policy: str, bits: int, graphs: int, first: int) -> None:
    """Of so many graphs: bit-exact with and without stalls, and as predicted."""
    served = 0

    @seed(first)
    @settings(
        max_examples=graphs,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(volumes(bits=bits), TARGETS, st.integers(1, 2**31))
    def run(graph, target, stalls):
        nonlocal served
        try:
            design = compile(graph, target, policy=policy)
        except UserError as error:
            # What does not fit says what would; and not every task has a core to itself.
            assert "would suffice" in str(error) or policy == "dataflow"  # noqa: PT017
            return
        check(design.schedule)
        simulation = design.simulate(random_inputs(graph, stalls), seeds=[0, stalls])
        assert simulation.mismatches == 0
        off = abs(simulation.cycles[0] - design.prediction.cycles)
        exact = not design.schedule.streamed and design.schedule.region_bytes[SPILLS] == 0
        assert off <= (0 if exact else max(8, simulation.cycles[0] // 20))
        served += 1

    run()
    print(f"seed {first}: {served} of {graphs} graphs served")
    assert served >= max(1, graphs // 3)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("policy", POLICIES)
def test_graphs_of_very_different_volumes_are_golden(policy, bits):
    _every_value_is_golden(policy, bits, 1, 8)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("policy", POLICIES)
def test_many_graphs_of_very_different_volumes_are_golden(policy, bits):
    _every_value_is_golden(policy, bits, 40, 1)
