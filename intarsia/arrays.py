"""Arrays as a model file knows them, and as the integer tensors of its graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gen.errors import UserError
from gen.graph import Graph, Tensor

__all__ = ["Arrays", "Batch", "file_shape", "file_type", "from_file", "to_file"]

Arrays = np.ndarray | Mapping[str, np.ndarray]
"""One array, or several by the name of their tensor."""


@dataclass(frozen=True)
class Batch:
    """Inputs of several runs, as graph tensors, and what their results shall look like.

    ``stacked`` is None for a single run; else whether results get a new first axis, or are joined
    along the batch axis of length 1 that they have. ``real`` asks for real numbers.
    """

    runs: tuple[dict[str, np.ndarray], ...]
    stacked: bool | None
    real: bool


def file_shape(tensor: Tensor) -> tuple[int, ...]:
    """Shape of ``tensor`` in the model file."""
    if tensor.layout is None:
        return tensor.shape
    return tuple(tensor.shape[tensor.layout.index(axis)] for axis in range(len(tensor.shape)))


def file_type(tensor: Tensor) -> np.dtype:
    """Integer type of ``tensor`` in the model file."""
    return np.dtype(np.uint8) if tensor.offset else tensor.dtype


def from_file(graph: Graph, x: Arrays) -> Batch:
    """Graph inputs from arrays in the layout and type of the model file.

    Real numbers are quantised with the input's scale and zero point. An additional first axis, or
    more than one image where the file has one, makes a batch.

    Raises
    ------
    UserError
        If an input is missing, unknown, or has another shape or type.
    """
    if not isinstance(x, Mapping):
        if len(graph.inputs) != 1:
            raise UserError(
                f"'{graph.name}' has {len(graph.inputs)} inputs; pass arrays by name: "
                f"{', '.join(graph.inputs)}"
            )
        x = {graph.inputs[0]: x}
    for name in x:
        if name not in graph.inputs:
            raise UserError(
                f"'{name}' is not an input of '{graph.name}'; its inputs are "
                f"{', '.join(graph.inputs)}"
            )
    for name in graph.inputs:
        if name not in x:
            raise UserError(f"input '{name}' is missing; pass {_wanted(graph.tensors[name])}")
    arrays = {name: np.asarray(x[name]) for name in graph.inputs}
    integers = {n: _integers(graph.tensors[n], a) for n, a in arrays.items()}
    forms = {n: _form(graph.tensors[n], a) for n, a in integers.items()}
    if len({*forms.values()}) > 1:
        raise UserError(
            f"inputs {', '.join(forms)} must have equally many samples, not "
            + ", ".join(str(len(integers[n]) if forms[n] else 1) for n in forms)
        )
    stacked, count = forms[graph.inputs[0]] or (None, 1)
    runs = []
    for i in range(count):
        run = {}
        for name, array in integers.items():
            tensor = graph.tensors[name]
            one = array if stacked is None else array[i : i + 1] if not stacked else array[i]
            laid = one if tensor.layout is None else one.transpose(tensor.layout)
            run[name] = np.ascontiguousarray(laid)
        runs.append(run)
    real = all(a.dtype.kind == "f" for a in arrays.values())
    return Batch(tuple(runs), stacked, real)


def to_file(
    graph: Graph, batch: Batch, results: Sequence[Mapping[str, np.ndarray]]
) -> np.ndarray | dict[str, np.ndarray]:
    """Outputs in the layout and type of the model file: one array, or several by name."""
    outputs = {}
    for name in graph.outputs:
        tensor = graph.tensors[name]
        laid = [_output(tensor, result[name], batch.real) for result in results]
        if batch.stacked is None:
            outputs[name] = laid[0]
        elif batch.stacked or laid[0].shape[0] != 1:
            outputs[name] = np.stack(laid)
        else:
            outputs[name] = np.concatenate(laid)
    return outputs if len(outputs) > 1 else outputs[graph.outputs[0]]


def _output(tensor: Tensor, value: np.ndarray, real: bool) -> np.ndarray:
    if tensor.layout is not None:
        value = value.transpose(np.argsort(tensor.layout))
    if real:
        centred = value.astype(np.int32) - tensor.zero_point
        return centred.astype(np.float32) * np.float32(tensor.scale)
    return (value.astype(np.int16) + tensor.offset).astype(file_type(tensor))


def _integers(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    """``array`` as the tensor's integers, in the layout of the file."""
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UserError(f"input '{tensor.name}' holds NaN or infinite values")
        scaled = np.rint(array.astype(np.float32) / np.float32(tensor.scale))
        return np.clip(scaled + tensor.zero_point, *tensor.limits).astype(tensor.dtype)
    if array.dtype != file_type(tensor):
        raise UserError(
            f"input '{tensor.name}' must be {file_type(tensor)}, or float to be quantised, "
            f"not {array.dtype}"
        )
    return (array.astype(np.int16) - tensor.offset).astype(tensor.dtype)


def _form(tensor: Tensor, array: np.ndarray) -> tuple[bool, int] | None:
    """Whether samples are stacked, and how many there are; None for one sample alone."""
    shape = file_shape(tensor)
    if array.shape == shape:
        return None
    if array.ndim > 0 and len(array):
        if shape[0] == 1 and array.shape[1:] == shape[1:]:
            return False, len(array)
        if array.shape[1:] == shape:
            return True, len(array)
    raise UserError(
        f"input '{tensor.name}' must have shape {shape}, or that with a first axis of samples, "
        f"not {array.shape}"
    )


def _wanted(tensor: Tensor) -> str:
    return f"an array of {file_type(tensor)} {file_shape(tensor)}"
