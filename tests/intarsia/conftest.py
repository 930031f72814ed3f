"""A small model, and its design in a folder."""

from pathlib import Path

import pytest

import intarsia

from ..tflite_models import ModelBuilder


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """An image through a convolution and a product."""
    b = ModelBuilder(seed=3)
    x = b.tensor((1, 6, 6, 2), scale=0.05, zero_point=-3, name="image")
    y = b.tensor((1, 6, 6, 8), scale=0.5, zero_point=4, name="features")
    flat = b.tensor((1, 288), scale=0.5, zero_point=4, name="flat")
    z = b.tensor((1, 5), scale=2.0, zero_point=0, name="scores")
    fields = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    conv = [x, b.weights(8, 3, 3, 2, axis=0), b.bias(8)]
    b.op("CONV_2D", conv, [y], "Conv2DOptions", Padding=0, **fields)
    b.op("RESHAPE", [y, b.integers(1, 288)], [flat])
    b.op("FULLY_CONNECTED", [flat, b.weights(5, 288), b.bias(5)], [z], "FullyConnectedOptions")
    path = tmp_path_factory.mktemp("model") / "small.tflite"
    path.write_bytes(b.finish([x], [z]))
    return path


@pytest.fixture(scope="session")
def design(model) -> intarsia.Design:
    return intarsia.compile(model, multipliers=16)


@pytest.fixture(scope="session")
def folder(design, tmp_path_factory) -> Path:
    """Where ``design`` is written; not to be changed."""
    return design.write(tmp_path_factory.mktemp("design") / "small")
