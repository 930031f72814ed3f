"""ONNX files, read without trusting them: the model, its constants, and typed node attributes."""

import copy
import os
import re
from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
import onnx.external_data_helper
import onnx.numpy_helper
from google.protobuf.message import DecodeError

from ..errors import UserError

__all__ = [
    "LARGEST",
    "Node",
    "array",
    "fixed_shape",
    "identifier",
    "nodes",
    "opsets",
    "read",
    "type_name",
]

LARGEST = 2**28

_QONNX = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
_DOMAINS = {"", "ai.onnx", "com.microsoft", *_QONNX}


def read(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """The model in ``path`` with its external data loaded.

    Raises
    ------
    UserError
        Where the file is absent or not ONNX, or where external data is absent, too short, or
        outside the model's own folder.
    """
    path = Path(path)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    except (DecodeError, ValueError, RecursionError) as error:
        raise UserError(
            f"'{path}' is not an ONNX model or is cut short; export or download it again"
        ) from error
    if not model.graph.node:
        raise UserError(f"'{path}' holds no ONNX graph with nodes; export or download it again")
    if not all(isinstance(text, str) for text in _texts(model.graph)):
        # Protobuf hands over names that are not UTF-8 as bytes.
        raise UserError(f"'{path}' holds names that are not text; export or download it again")
    constants = list(model.graph.initializer)
    for node in model.graph.node:
        constants.extend(a.t for a in node.attribute if a.HasField("t"))
    for tensor in constants:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _load_external(tensor, path.resolve().parent)
    return model


def _texts(graph: onnx.GraphProto) -> Iterator[object]:
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (tensor.name for tensor in graph.initializer)
    for info in (*graph.input, *graph.output):
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)


def _load_external(tensor: onnx.TensorProto, folder: Path) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    hostile = (
        not location
        or PurePosixPath(location).is_absolute()
        or PureWindowsPath(location).is_absolute()
        or not (folder / location).resolve().is_relative_to(folder)
    )
    if hostile:
        raise UserError(
            f"constant '{tensor.name}' keeps its data in '{location}', outside the model's folder; "
            "save the model again with its data beside it or inside it"
        )
    source = folder / location
    try:
        start = int(entries.get("offset", 0))
        length = int(entries.get("length", source.stat().st_size - start))
        if start < 0 or length < 0 or start + length > source.stat().st_size:
            raise UserError(
                f"constant '{tensor.name}' reads past the end of its data file '{location}'; "
                "the file is cut short: copy or download it again"
            )
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        tensor.data_location = onnx.TensorProto.DEFAULT
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise UserError(
            f"constant '{tensor.name}' needs the data file '{location}', which cannot be read; "
            "keep it beside the model"
        ) from error


def array(tensor: onnx.TensorProto) -> np.ndarray:
    """The NumPy array of a constant; 4-bit integers are widened to int8 or uint8.

    Raises
    ------
    UserError
        Where the data does not fill the stated shape, or is not numeric.
    """
    try:
        result = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type == onnx.TensorProto.INT4:
            result = result.astype(np.int8)
        elif tensor.data_type == onnx.TensorProto.UINT4:
            result = result.astype(np.uint8)
    except (ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise UserError(
            f"constant '{tensor.name}' does not hold the data that its shape and type state; "
            "export the model again"
        ) from error
    if result.dtype.kind not in "biuf":
        raise UserError(
            f"constant '{tensor.name}' has element type "
            f"{type_name(tensor.data_type)}, which is not supported"
        )
    return result


def type_name(code: int) -> str:
    """ONNX's name of an element type, such as ``INT8``."""
    names = {value: name for name, value in onnx.TensorProto.DataType.items()}
    return names.get(code, f"number {code}")


def opsets(model: onnx.ModelProto) -> dict[str, int]:
    """Version of each operator set that the model imports, by domain."""
    return {("" if o.domain == "ai.onnx" else o.domain): o.version for o in model.opset_import}


def nodes(model: onnx.ModelProto) -> Iterator["Node"]:
    """The model's nodes in file order, which ONNX requires to be an execution order."""
    versions = opsets(model)
    for index, proto in enumerate(model.graph.node):
        yield Node(proto, index, versions.get("", 1))


def identifier(name: str, limit: int = 48) -> str:
    """``name`` as a readable identifier: joined names cut at ``;``, other marks made ``_``."""
    text = re.sub(r"\W+", "_", name.split(";")[0], flags=re.ASCII).strip("_")[:limit].strip("_")
    if not text:
        return "node"
    return f"n{text}" if text[0].isdigit() else text


def fixed_shape(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Shape of a graph input, a symbolic first dimension being a batch of 1.

    Raises
    ------
    UserError
        If another dimension is not fixed, or the tensor is too large.
    """
    name = info.name
    if not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
        raise UserError(f"input '{name}' has no known shape; export the model with a fixed shape")
    shape: list[int] = []
    for axis, dim in enumerate(info.type.tensor_type.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value > 0:
            shape.append(dim.dim_value)
        elif axis == 0:
            shape.append(1)
        else:
            raise UserError(
                f"input '{name}' has a dynamic dimension "
                f"({dim.dim_param or dim.dim_value or 'unknown'}, axis {axis}); "
                "export the model with a fixed shape"
            )
    if prod(shape) > LARGEST:
        raise UserError(f"input '{name}' has {prod(shape)} elements, more than {LARGEST}")
    return tuple(shape) or (1,)


class Node:
    """One operator of the file: names, and attributes read with their types checked.

    Members
    -------
    op : str
        Operator, such as ``Conv``.
    inputs, outputs : tuple of str
        Names in the file; an omitted optional input is "".
    name : str
        The node's name made into an identifier; from its first output where it has none.
    version : int
        Version of the standard operator set, which decides the meaning of some operators.
    """

    def __init__(self, proto: onnx.NodeProto, index: int, version: int) -> None:
        self.op = proto.op_type
        self.known_domain = proto.domain in _DOMAINS
        self.inputs = tuple(proto.input)
        self.outputs = tuple(proto.output)
        self.version = version
        self._label = proto.name or (self.outputs[0] if self.outputs else f"number {index}")
        self.name = identifier(self._label)
        self._attributes = {a.name: a for a in proto.attribute}

    def error(self, text: str) -> UserError:
        """A :class:`UserError` that names this node."""
        return UserError(f"node '{self._label}' ({self.op}): {text}")

    def renamed(self, op: str) -> "Node":
        """The same node as another operator."""
        other = copy.copy(self)
        other.op = op
        return other

    def input(self, index: int) -> str:
        """Name of input ``index``, "" where it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def _get(self, name: str, kind: int, default: Any) -> Any:
        attribute = self._attributes.get(name)
        if attribute is None:
            return default
        if attribute.type != kind:
            raise self.error(f"attribute '{name}' has the wrong type; export the model again")
        return onnx.helper.get_attribute_value(attribute)

    def has(self, name: str) -> bool:
        return name in self._attributes

    def integer(self, name: str, default: int) -> int:
        return int(self._get(name, onnx.AttributeProto.INT, default))

    def number(self, name: str, default: float) -> float:
        return float(self._get(name, onnx.AttributeProto.FLOAT, default))

    def integers(self, name: str, default: tuple[int, ...] | None) -> tuple[int, ...] | None:
        found = self._get(name, onnx.AttributeProto.INTS, default)
        return None if found is None else tuple(int(n) for n in found)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        found = self._get(name, onnx.AttributeProto.FLOATS, None)
        return None if found is None else tuple(float(n) for n in found)

    def text(self, name: str, default: str) -> str:
        found = self._get(name, onnx.AttributeProto.STRING, default)
        return found.decode(errors="replace") if isinstance(found, bytes) else found

    def tensor(self, name: str) -> np.ndarray | None:
        found = self._get(name, onnx.AttributeProto.TENSOR, None)
        return None if found is None else array(found)
