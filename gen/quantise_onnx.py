"""Float ONNX models to int8 ones, calibrated with sample inputs, by ONNX Runtime's quantiser."""

import logging
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter

from .errors import UserError
from .frontends import onnx_file
from .frontends.onnx import OPERATORS

__all__ = ["FORMATS", "quantise"]

FORMATS = ("qdq", "qoperator")

# DequantizeLinear has scales per channel from here on.
_PER_CHANNEL_OPSET = 13
_TARGET_OPSET = 17

_Path = str | os.PathLike[str]


def quantise(
    model_path: _Path,
    calibration: Mapping[str, np.ndarray] | _Path,
    out_path: _Path,
    per_channel: bool = True,
    fmt: str = "qdq",
) -> None:
    """Write an int8 version of a float model.

    Weights are symmetric, activations asymmetric with the smallest and largest value seen during
    calibration as their range. ONNX Runtime first optimises the model (which folds batch
    normalisation) and then quantises it (``onnxruntime.quantization.quantize_static``).

    Parameters
    ----------
    model_path
        A float ONNX model; its inputs have fixed shapes apart from a symbolic batch, taken as 1.
    calibration
        Arrays by input name, or an ``.npz`` file of them; the first axis counts the samples:
        (N, C, H, W) for an input (1, C, H, W). All have equally many.
    out_path
        Where the quantised model goes; replaced in one step, once it is complete.
    per_channel
        Whether each output channel of the weights has its own scale.
    fmt
        ``"qdq"``, which quantises all operators that the frontend supports, or ``"qoperator"``.

    Raises
    ------
    UserError
        If onnxruntime is not installed, the model cannot be read or quantised, the calibration
        data do not suit its inputs, or the result cannot be written.
    """
    if fmt not in FORMATS:
        raise UserError(f"the format must be one of {', '.join(FORMATS)}, not '{fmt}'")
    try:
        import onnxruntime
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise UserError(
            "quantising needs onnxruntime; install it with: pip install 'intarsia[quantize]'"
        ) from error
    model = _prepared(model_path)
    samples = _samples(model, _arrays(calibration))

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(samples)

        def get_next(self) -> Any:
            return next(self._left, None)

    options: dict[str, Any] = {}
    if fmt == "qdq":
        options["op_types_to_quantize"] = sorted(
            {node.op_type for node in model.graph.node} & OPERATORS
        )
    out = Path(out_path)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".quantise-") as folder:
            ready, made = Path(folder, "ready.onnx"), Path(folder, "made.onnx")
            onnx.save_model(model, ready)
            onnxruntime.set_default_logger_severity(3)
            logging.getLogger().addFilter(_mute)
            try:
                quant_pre_process(str(ready), str(ready), skip_symbolic_shape=True)
                quantization.quantize_static(
                    str(ready),
                    str(made),
                    Reader(),
                    quant_format=(
                        quantization.QuantFormat.QDQ
                        if fmt == "qdq"
                        else quantization.QuantFormat.QOperator
                    ),
                    per_channel=per_channel,
                    activation_type=quantization.QuantType.QInt8,
                    weight_type=quantization.QuantType.QInt8,
                    **options,
                )
            except OSError:
                raise
            except Exception as error:
                reason = str(error).strip().split("\n")[0]
                raise UserError(f"ONNX Runtime cannot quantise '{model_path}': {reason}") from error
            finally:
                logging.getLogger().removeFilter(_mute)
                onnxruntime.set_default_logger_severity(2)
            os.replace(made, out)
    except OSError as error:
        raise UserError(f"cannot write '{out}': {error.strerror or error}") from error


def _mute(record: logging.LogRecord) -> bool:
    """Drop what the quantiser writes to the root logger: advice on speed on other processors."""
    return record.levelno >= logging.ERROR


def _prepared(path: _Path) -> onnx.ModelProto:
    """The float model with a batch of 1 and an operator set that knows per-channel scales."""
    model = onnx_file.read(path)
    if any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in model.graph.node):
        raise UserError(f"'{path}' is quantised already; quantise the float model")
    for info in _inputs(model):
        onnx_file.fixed_shape(info)
        dims = info.type.tensor_type.shape.dim
        if dims and dims[0].dim_value < 1:
            dims[0].dim_value = 1
    if onnx_file.opsets(model).get("", 1) < _PER_CHANNEL_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, _TARGET_OPSET)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"'{path}' uses an old operator set that cannot be converted; export it with "
                f"opset {_TARGET_OPSET}"
            ) from error
    return model


def _inputs(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return (info for info in model.graph.input if info.name not in constants)


def _arrays(calibration: Mapping[str, np.ndarray] | _Path) -> dict[str, np.ndarray]:
    if isinstance(calibration, Mapping):
        return {name: np.asarray(array) for name, array in calibration.items()}
    advice = "write it with numpy.savez, one array per input"
    try:
        file = np.load(calibration, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise UserError(f"calibration file '{calibration}' is one array; {advice}")
        with file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        reason = error.strerror or "not an .npz file"
        raise UserError(f"cannot read calibration file '{calibration}': {reason}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"calibration file '{calibration}' is not an .npz file of numbers; {advice}"
        ) from error


def _samples(model: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    columns: dict[str, list[np.ndarray]] = {}
    for info in _inputs(model):
        name, shape = info.name, onnx_file.fixed_shape(info)
        if name not in arrays:
            raise UserError(
                f"the calibration data have no array for input '{name}'; they have: "
                f"{', '.join(arrays) or 'none'}"
            )
        array = arrays[name]
        if array.dtype.kind not in "biuf":
            raise UserError(f"calibration array '{name}' is of type {array.dtype}, not numbers")
        whole = array.shape[1:] == shape
        if not whole and not (shape[0] == 1 and array.shape[1:] == shape[1:]):
            wanted = ", ".join(["samples", *map(str, shape[1:])])
            raise UserError(
                f"calibration array '{name}' has shape {array.shape}, but the input needs "
                f"({wanted})"
            )
        if not len(array):
            raise UserError(f"calibration array '{name}' has no samples; give about a hundred")
        if not np.isfinite(array).all():
            raise UserError(f"calibration array '{name}' holds NaN or infinite values")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        array = array.astype(dtype).reshape(-1, *shape)
        columns[name] = list(array)
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        raise UserError(f"calibration arrays must have equally many samples, not {counts}")
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
