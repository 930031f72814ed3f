"""Quantisation arithmetic: exact values, ranges, and the messages of bad arguments."""

import math

import numpy as np
import pytest

from gen import quantise


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (0.75, (3 * 2**29, 0)),
        (-0.75, (-3 * 2**29, 0)),
        (1 - 2.0**-40, (2**30, 1)),  # rounds up to the next power of two
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),
        (2.0**29, (2**30, 30)),
        (2.0**40, (2**31 - 1, 30)),
    ],
)
def test_quantise_multiplier_gives_the_nearest_multiplier_and_shift(real, expected):
    assert quantise.quantise_multiplier(real) == expected


def test_quantise_multiplier_keeps_31_bits_over_the_whole_range():
    rng = np.random.default_rng(0)
    for real in 2.0 ** rng.uniform(-31, 29, 2000):
        multiplier, shift = quantise.quantise_multiplier(float(real))
        assert 2**30 <= multiplier < 2**31
        assert -31 <= shift <= 30
        assert abs(multiplier * 2.0 ** (shift - 31) / real - 1) <= 2.0**-31


@pytest.mark.parametrize("real", [math.inf, -math.inf, math.nan])
def test_quantise_multiplier_refuses_what_is_not_finite(real):
    with pytest.raises(ValueError, match=f"^a requantisation factor must be finite, not {real}$"):
        quantise.quantise_multiplier(real)


@pytest.mark.parametrize(
    ("x", "expected"), [(0.5, 1), (-0.5, -1), (1.49, 1), (-2.5, -3), (0.49999999999999994, 0)]
)
def test_round_half_away_rounds_as_c_does(x, expected):
    assert quantise.round_half_away(x) == expected


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [
        ("none", 0.1, 5, (-128, 127)),
        ("relu", 0.1, 5, (5, 127)),
        ("relu6", 0.1, 5, (5, 65)),
        ("relu6", 0.1, 100, (100, 127)),
        ("relu6", 1e-38, -128, (-128, 127)),
        ("relu_n1_to_1", 0.1, 5, (-5, 15)),
        ("relu_n1_to_1", 0.4, 0, (-3, 3)),  # 2.5 rounds away from zero
    ],
)
def test_activation_range_is_the_clamp_in_steps_of_the_output(
    activation, scale, zero_point, expected
):
    assert quantise.activation_range(activation, scale, zero_point) == expected


def test_activation_range_names_the_activations_it_knows():
    with pytest.raises(
        ValueError,
        match=r"^a fused activation must be one of none, relu, relu6, relu_n1_to_1, not 'tanh'$",
    ):
        quantise.activation_range("tanh", 0.1, 0)


def test_add_parameters_bring_inputs_to_twice_the_larger_scale():
    a, b, out = quantise.add_parameters(0.5, 0.25, 1.0)
    assert (a, b, out) == ((2**30, 0), (2**30, -1), (2**30, -19))


def test_add_parameters_refuse_a_far_too_fine_output():
    with pytest.raises(ValueError, match=r"^an output scale of 1e-07 must not be so much finer"):
        quantise.add_parameters(0.5, 0.25, 1e-7)


def test_softmax_parameters_scale_to_five_integer_bits():
    assert quantise.softmax_parameters(1.0) == (2**30, 27, -15)
    assert quantise.softmax_parameters(0.5, beta=2.0) == (2**30, 27, -15)
    assert quantise.softmax_parameters(1e6) == (2**31 - 1, 31, 0)


def test_softmax_parameters_refuse_a_scale_that_makes_all_outputs_equal():
    with pytest.raises(ValueError, match=r"^softmax needs an input scale greater than 2\*\*-26"):
        quantise.softmax_parameters(2.0**-26)


def test_mean_multiplier_divides_after_quantising():
    # a count that is a power of two only moves the shift; any other truncates the multiplier
    assert quantise.mean_multiplier(1.0, 1.0, 64) == (2**30, -5)
    assert quantise.mean_multiplier(1.0, 1.0, 49) == ((2**30 << 5) // 49, -4)
    assert quantise.mean_multiplier(1.0, 1.0, 1) == (2**30, 1)


def test_requantise_table_of_equal_quantisation_is_the_identity():
    table = quantise.requantise_table(0.3, 7, 0.3, 7)
    np.testing.assert_array_equal(table, np.arange(-128, 128))


def test_float_table_saturates_infinities():
    table = quantise.float_table(lambda x: math.inf if x > 0 else -math.inf, 1.0, 0, 1e-30, 0)
    assert set(table[:129]) == {-128}
    assert set(table[129:]) == {127}
