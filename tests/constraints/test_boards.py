"""Boards give budgets that a target accepts."""

import pytest
from click.testing import CliRunner

from constraints.boards import BOARDS, board
from constraints.parts import FAMILIES, PARTS
from gen.errors import UserError
from intarsia.cli import main


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_is_a_budget_within_its_part(name):
    one = board(name)
    target = one.target("ram")
    assert target.memory == "ram"
    assert target.multipliers < one.chip.multipliers
    assert target.onchip_bytes < one.chip.onchip_bytes
    wanted = target.offchip_bytes_per_cycle * one.clock_mhz
    assert wanted <= one.memory_mb_per_second
    assert target.offchip_bytes_per_cycle <= one.port_bytes


def test_case_and_punctuation_of_a_name_do_not_count():
    assert board("Arty A7 100T") is BOARDS["arty-a7-100t"]
    assert board("KC-705") is BOARDS["kc705"]


def test_the_beginning_of_a_name_suffices_where_it_is_the_only_one():
    assert board("ulx3s") is BOARDS["ulx3s-85f"]
    assert board("arty") is BOARDS["arty-a7-100t"]


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("zcu102", "zcu104"),
        ("u2", "u250"),
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


@pytest.mark.parametrize("name", [one.name for one in BOARDS.values() if one.platform])
def test_the_pins_are_those_of_the_same_chip(name):
    one = board(name)
    pins = one.pins()
    device = pins.device.casefold().removesuffix("i")
    assert one.part.casefold().startswith(device)
    assert one.part.casefold().find(pins.package.casefold().removeprefix("bg")) > 0
    if one.host == "uart":
        assert ("uart", 0) in pins.resources


def test_boards_without_pins_say_how_a_host_reaches_them():
    with pytest.raises(UserError, match="pins of 'u280' are not known; its host is pcie"):
        board("u280").pins()


def test_every_part_belongs_to_a_board_and_a_family():
    assert {one.part for one in BOARDS.values()} == set(PARTS)
    assert {one.family for one in PARTS.values()} == set(FAMILIES)


def test_the_command_lists_every_board():
    result = CliRunner().invoke(main, ["boards"])
    assert result.exit_code == 0
    assert all(f"│ {name} " in result.output for name in BOARDS)
