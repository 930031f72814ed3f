"""Boards give budgets that a target accepts."""

import pytest

from constraints.boards import BOARDS, board
from gen.errors import UserError


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_is_a_budget_within_its_part(name):
    one = board(name)
    target = one.target("ram")
    assert target.memory == "ram"
    assert target.multipliers < one.multipliers
    assert target.onchip_bytes < one.onchip_bytes
    wanted = target.offchip_bytes_per_cycle * one.clock_mhz
    assert wanted <= one.memory_mb_per_second
    assert target.offchip_bytes_per_cycle <= one.port_bytes


def test_case_and_punctuation_of_a_name_do_not_count():
    assert board("Arty A7 100T") is BOARDS["arty-a7-100t"]
    assert board("KC-705") is BOARDS["kc705"]


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("arty", "arty-a7-100t"),
        ("zcu102", "zcu104"),
        ("ulx3s", "ulx3s-85f"),
        ("alveo u250", "u250"),
    ],
)
def test_an_unknown_board_gets_the_list_closest_first(name, closest):
    with pytest.raises(UserError) as caught:
        board(name)
    text = str(caught.value)
    assert text.startswith(f"--board '{name}' is not known; known boards, closest first: {closest}")
    assert all(known in text for known in BOARDS)


def test_an_empty_name_is_unknown():
    with pytest.raises(UserError, match="--board '' is not known"):
        board("")
