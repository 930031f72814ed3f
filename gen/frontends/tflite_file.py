"""A TensorFlow Lite file as plain data: checked for damage here, understood elsewhere."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from ..errors import UserError

__all__ = ["File", "FileOperator", "FileTensor", "read"]

Option = int | float | bool


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


_OPERATORS = _names(tflite.BuiltinOperator)
_TYPES = _names(tflite.TensorType)
_ACTIVATIONS = _names(tflite.ActivationFunctionType)

_WINDOW = ("Padding", "StrideH", "StrideW", "FusedActivationFunction")
_DILATION = ("DilationHFactor", "DilationWFactor")
_POOL = ("Pool2DOptions", (*_WINDOW, "FilterHeight", "FilterWidth"))
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "AVERAGE_POOL_2D": _POOL,
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "CONV_2D": ("Conv2DOptions", (*_WINDOW, *_DILATION)),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_WINDOW, *_DILATION)),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat")),
    "GELU": ("GeluOptions", ("Approximate",)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "MAX_POOL_2D": _POOL,
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset"),
    ),
    "SUB": ("SubOptions", ("FusedActivationFunction",)),
}
_DTYPES = {"INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64}


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor of the file; ``data`` is its buffer where it is a constant."""

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    type: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: np.ndarray | None

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    def array(self) -> np.ndarray:
        """The constant, in its shape; int4 comes as int8.

        Raises
        ------
        ValueError
            If the tensor is no constant, or its buffer does not hold what its type and shape say.
        """
        if self.data is None:
            raise ValueError(f"operand '{self.name}' must be a constant of the model file")
        if self.type == "INT4":
            # two a byte, the low nibble first
            nibbles = np.stack([self.data << 4, self.data & 0xF0], axis=-1).reshape(-1)
            values = nibbles.view(np.int8) >> 4
            values = values[: self.size] if self.size == values.size - 1 else values
        elif self.type in _DTYPES:
            dtype = np.dtype(_DTYPES[self.type]).newbyteorder("<")
            if self.data.size % dtype.itemsize:
                raise ValueError(f"the buffer of constant '{self.name}' is truncated")
            values = self.data.view(dtype)
        else:
            raise ValueError(f"constant '{self.name}' must be integer, not {self.type.lower()}")
        if values.size != self.size:
            raise ValueError(
                f"the buffer of constant '{self.name}' holds {values.size} elements, "
                f"but its shape {self.shape} needs {self.size}"
            )
        return values.reshape(self.shape)


@dataclass(frozen=True)
class FileOperator:
    """An operator; operands are tensor indices, -1 for an optional one that is absent."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Option]
    activation: str


@dataclass(frozen=True)
class File:
    """The one subgraph of a model file."""

    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(path: str | os.PathLike[str]) -> File:
    """Read and check a TensorFlow Lite file.

    Raises
    ------
    UserError
        If the path cannot be read, the file is of another kind, truncated or damaged, or it has
        more than one subgraph.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}") from error
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise UserError(
            f"'{path}' is not a TensorFlow Lite file (no TFL3 identifier); "
            "pass the .tflite file that the converter wrote"
        )
    try:
        return _parse(data)
    except UserError as error:
        raise UserError(f"'{path}': {error}") from error
    # what the flatbuffer reader raises when an offset or a count in the file is wrong
    except (
        struct.error,
        IndexError,
        TypeError,
        ValueError,
        OverflowError,
        MemoryError,
    ) as error:
        raise UserError(
            f"'{path}' is damaged ({error or type(error).__name__}); download or convert it again"
        ) from error


def _parse(data: bytes) -> File:
    model = tflite.Model.GetRootAsModel(data, 0)
    if model.SubgraphsLength() != 1:
        raise UserError(
            f"{model.SubgraphsLength()} subgraphs; control flow and several signatures are not "
            "supported, convert a model with one"
        )
    graph = model.Subgraphs(0)
    if graph is None:
        raise ValueError("no subgraph")
    kinds = [_kind(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    tensors = [
        _tensor(data, model, i, graph.Tensors(i))
        for i in range(_count(data, graph.TensorsLength()))
    ]
    operators = [
        _operator(kinds, i, graph.Operators(i))
        for i in range(_count(data, graph.OperatorsLength()))
    ]
    inputs = _integers(graph.InputsAsNumpy())
    outputs = _integers(graph.OutputsAsNumpy())
    used = [*inputs, *outputs]
    for op in operators:
        used += [*(i for i in op.inputs if i != -1), *op.outputs]
    for index in used:
        if not 0 <= index < len(tensors):
            raise ValueError(f"tensor {index} does not exist")
    return File(tuple(tensors), tuple(operators), inputs, outputs)


def _count(data: bytes, length: int) -> int:
    # a vector of tables has four bytes for each entry, so a larger count is damage
    if 4 * length > len(data):
        raise ValueError(f"a list of {length} entries")
    return length


def _integers(vector: Any) -> tuple[int, ...]:
    """A flatbuffer vector, which reads as 0 where it is absent, as integers."""
    return () if isinstance(vector, int) else tuple(int(n) for n in vector)


def _text(name: bytes | None) -> str:
    """A name of the file, fit for one line of a message."""
    text = (name or b"").decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def _kind(code: Any) -> str:
    # files older than schema 3a have only the deprecated 8-bit field
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if builtin == tflite.BuiltinOperator.CUSTOM:
        return f"CUSTOM {_text(code.CustomCode())}"
    return _OPERATORS.get(builtin, f"number {builtin}")


def _tensor(data: bytes, model: Any, index: int, tensor: Any) -> FileTensor:
    scales: Any = 0
    zero_points: Any = 0
    axis = 0
    quantisation = tensor.Quantization()
    if quantisation is not None:
        scales, zero_points = quantisation.ScaleAsNumpy(), quantisation.ZeroPointAsNumpy()
        axis = quantisation.QuantizedDimension()
    return FileTensor(
        index,
        _text(tensor.Name()),
        _integers(tensor.ShapeAsNumpy()),
        _integers(tensor.ShapeSignatureAsNumpy()),
        _TYPES.get(tensor.Type(), f"type {tensor.Type()}"),
        () if isinstance(scales, int) else tuple(float(s) for s in scales),
        _integers(zero_points),
        axis,
        _buffer(data, model, tensor.Buffer()),
    )


def _buffer(data: bytes, model: Any, index: int) -> np.ndarray | None:
    if not 0 <= index < model.BuffersLength():
        raise ValueError(f"buffer {index} does not exist")
    buffer = model.Buffers(index)
    if buffer.Offset() > 1:
        # files beyond 2 GB keep their buffers behind the flatbuffer
        end = buffer.Offset() + buffer.Size()
        if end > len(data):
            raise ValueError(f"buffer {index} ends behind the file")
        return np.frombuffer(data[buffer.Offset() : end], np.uint8)
    return np.asarray(buffer.DataAsNumpy(), np.uint8) if buffer.DataLength() else None


def _operator(kinds: list[str], index: int, operator: Any) -> FileOperator:
    kind = kinds[operator.OpcodeIndex()]
    options = _options(kind, operator)
    fused = options.pop("FusedActivationFunction", 0)
    return FileOperator(
        index,
        kind,
        _integers(operator.InputsAsNumpy()),
        _integers(operator.OutputsAsNumpy()),
        options,
        _ACTIVATIONS.get(int(fused), str(fused)).lower(),
    )


def _options(kind: str, operator: Any) -> dict[str, Option]:
    if kind not in _OPTIONS:
        return {}
    table, fields = _OPTIONS[kind]
    union = operator.BuiltinOptions()
    if union is None or operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, table):
        raise ValueError(f"a {kind} without its options")
    options = getattr(tflite, table)()
    options.Init(union.Bytes, union.Pos)
    return {field: getattr(options, field)() for field in fields}
