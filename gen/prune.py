"""Magnitude pruning of ONNX models: the smallest weights of every product become zero."""

import os
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from .errors import UserError
from .frontends import onnx_file

__all__ = ["prune"]

_WEIGHTS = {
    "Conv": 1,
    "ConvTranspose": 1,
    "Gemm": 1,
    "MatMul": 1,
    "QGemm": 3,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
}
"""Which input of a product has its weights."""

_QUANTISERS = ("DequantizeLinear", "IntQuant", "Quant", "QuantizeLinear")

_Path = str | os.PathLike[str]


def prune(model_path: _Path, out_path: _Path, sparsity: float) -> dict[str, float]:
    """Write a model in which at least the share ``sparsity`` of each product's weights is zero.

    Parameters
    ----------
    model_path
        Float, QDQ, QOperator or QONNX. Of quantised weights that a zero point holds, zero is that.
    out_path
        Replaced in one step, once it is complete.
    sparsity
        From 0 to 1; in each array of weights the smallest magnitudes go, so that exactly this
        share, rounded to a whole number, is zero unless more was zero already.

    Returns
    -------
    dict of str to float
        The share of zeros now, by the name of the weights.

    Raises
    ------
    UserError
        If ``sparsity`` is out of range, the model cannot be read or has no constant weights, or the
        file cannot be written.
    """
    if not 0 <= sparsity <= 1:
        raise UserError(f"--sparsity must be from 0 to 1, not {sparsity:g}")
    model = onnx_file.read(model_path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    shares = {}
    for name, zero in _weights(model, constants).items():
        values = numpy_helper.to_array(constants[name])
        points = np.zeros(1, values.dtype) if zero is None else numpy_helper.to_array(zero)
        kept = _pruned(values, points, sparsity)
        constants[name].CopyFrom(numpy_helper.from_array(kept, name))
        shares[name] = float(np.mean(kept == _shaped(points, kept)))
    if not shares:
        raise UserError(f"'{model_path}' has no constant weights to prune")
    path = Path(out_path)
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        onnx.save(model, partial)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return shares


def _weights(
    model: onnx.ModelProto, constants: dict[str, onnx.TensorProto]
) -> dict[str, onnx.TensorProto | None]:
    """The constants that products take as weights, each with its zero point."""
    makers = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, onnx.TensorProto | None] = {}
    for node in model.graph.node:
        at = _WEIGHTS.get(node.op_type)
        if at is None or at >= len(node.input):
            continue
        name, zero = node.input[at], None
        if node.op_type.startswith("Q"):
            zero = constants.get(node.input[at + 2])
        while (maker := makers.get(name)) is not None and maker.op_type in _QUANTISERS:
            if maker.op_type == "DequantizeLinear" and len(maker.input) > 2:
                zero = constants.get(maker.input[2])
            name = maker.input[0]
        if name in constants:
            held = numpy_helper.to_array(constants[name]).dtype.kind in "iu"
            found[name] = zero if held else None
    return found


def _shaped(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Zero points, one or one per index of whichever axis they fit, to go with ``values``."""
    if points.size == 1:
        return points.reshape([1] * values.ndim)
    axis = values.shape.index(points.size)
    return points.reshape([-1 if i == axis else 1 for i in range(values.ndim)])


def _pruned(values: np.ndarray, points: np.ndarray, sparsity: float) -> np.ndarray:
    """``values`` with the smallest of them at zero."""
    zeros = np.broadcast_to(_shaped(points, values), values.shape)
    distance = np.abs(values.astype(np.float64) - zeros).ravel()
    smallest = np.argsort(distance, kind="stable")[: round(sparsity * values.size)]
    kept = values.copy().ravel()
    kept[smallest] = zeros.ravel()[smallest]
    return kept.reshape(values.shape)
