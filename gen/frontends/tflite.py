"""TensorFlow Lite int8 models to Graph, bit-identical to TensorFlow Lite Micro's kernels.

An operator becomes one task, with a :class:`~gen.graph.Reshape` beside it where the file leaves a
change of shape implicit. Unary functions of an int8, also ADD, SUB and MUL with a constant of one
element, become tables. QUANTIZE and DEQUANTIZE between the host's type and int8 at the border of
the model disappear: the host's side of them is stated by the graph's input and output tensors.
"""

import math
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..graph import (
    Add,
    Concat,
    Conv,
    Graph,
    Lookup,
    MatMul,
    Pad,
    Pool,
    Reshape,
    Slice,
    Softmax,
    Task,
    Tensor,
    Transpose,
)
from ..quantise import (
    activation_range,
    add_parameters,
    mean_multiplier,
    quantise_multiplier,
    requantise_table,
    softmax_parameters,
)
from . import tflite_tables as tables
from .tflite_file import File, FileOperator, FileTensor, read

__all__ = ["OPERATORS", "load"]

# TensorFlow Lite sums the exponentials of a softmax row with 12 integer bits.
SOFTMAX_ROW = 4095
LARGEST_TENSOR = 2**28

_FLOAT = (
    "quantise it to int8 first: with the TensorFlow Lite converter and a representative data set, "
    "or as ONNX with `intarsia quantize`"
)


def load(path: str | os.PathLike[str]) -> Graph:
    """Read an int8 TensorFlow Lite model.

    Parameters
    ----------
    path
        A ``.tflite`` file with static shapes; a batch dimension that the file leaves open is 1.

    Returns
    -------
    Graph
        Tensors keep the names of the file, up to the first semicolon; tasks are named by operator,
        ``conv2d``, ``conv2d_1``...

    Raises
    ------
    UserError
        If the file cannot be read, or the model has an operator, type, shape or scale that is not
        supported; the message names the operator and what would work.
    """
    file = read(path)
    try:
        with np.errstate(all="ignore"):
            graph = _Lowering(file, _identifier(Path(path).stem)).graph()
        graph.check()
    except (struct.error, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise UserError(
            f"'{path}' is damaged ({error or type(error).__name__}); download or convert it again"
        ) from error
    return graph


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return name if name and not name[0].isdigit() else f"model_{name}".rstrip("_")


class _Lowering:
    """One file on its way to a graph.

    A handler raises :class:`ValueError` with what is wrong; :meth:`graph` adds the operator.
    """

    def __init__(self, file: File, name: str):
        self.file = file
        self.name = name
        self.names = [""] * len(file.tensors)
        self.tensors: dict[str, Tensor] = {}
        self.tasks: list[Task] = []
        self.stand_ins: dict[int, int] = {}
        self.offsets: dict[int, int] = {}
        self.counts: dict[str, int] = {}
        for tensor in sorted(file.tensors, key=lambda t: t.data is not None):
            # After a fusion the converter joins the names of all nodes; the first is enough.
            first = tensor.name.split(";")[0]
            self.names[tensor.index] = self._unique(first or f"tensor_{tensor.index}")

    def graph(self) -> Graph:
        if not self.file.inputs or not self.file.outputs:
            raise UserError("the model has no inputs or no outputs; convert it again")
        borders = {op.index for op in self.file.operators if self._border(op)}
        for index in self.file.inputs:
            self._register(index, "model input")
        for op in self.file.operators:
            where = self._where(op)
            if op.index in borders:
                continue
            if op.kind not in _HANDLERS:
                raise UserError(
                    f"{where} is not supported; leave it to the host or replace it, with any of "
                    f"{', '.join(OPERATORS)}"
                )
            try:
                if len(op.outputs) != 1:
                    raise ValueError(f"it must have one output, not {len(op.outputs)}")
                _HANDLERS[op.kind](self, op)
            except ValueError as error:
                raise UserError(f"{where}: {error}") from error
        for index in self.file.outputs:
            if self.names[self._resolve(index)] not in self.tensors:
                raise UserError(f"model output '{self.names[index]}' is computed by no operator")
        return Graph(
            self.name,
            self.tensors,
            tuple(self.tasks),
            tuple(self.names[self._resolve(i)] for i in self.file.inputs),
            tuple(self.names[self._resolve(i)] for i in self.file.outputs),
        )

    # Tensors

    def _unique(self, name: str) -> str:
        taken, unique, n = set(self.names) | set(self.tensors), name, 1
        while unique in taken:
            unique, n = f"{name}_{n}", n + 1
        return unique

    def _where(self, op: FileOperator) -> str:
        output = f" ('{self.names[op.outputs[0]]}')" if op.outputs else ""
        return f"operator {op.index} {op.kind}{output}"

    def _resolve(self, index: int) -> int:
        while index in self.stand_ins:
            index = self.stand_ins[index]
        return index

    def _register(self, index: int, where: str, kind: str = "") -> str:
        """Put a tensor of the file into the graph, once; give its name."""
        tensor = self.file.tensors[self._resolve(index)]
        name = self.names[tensor.index]
        if name not in self.tensors:
            host = tensor.type == "UINT8" and tensor.index in (
                self.file.inputs + self.file.outputs if kind == "QUANTIZE" else self.file.inputs
            )
            self._check_tensor(tensor, where, host)
            zero_point = self._quantisation(tensor)[1]
            offset = 128 if host else self.offsets.get(tensor.index, 0)
            self.tensors[name] = Tensor(name, tensor.shape, tensor.scales[0], zero_point, offset)
        return name

    def _check_tensor(self, tensor: FileTensor, where: str, host: bool) -> None:
        about = f"tensor '{self.names[tensor.index]}' of {where}"
        if tensor.type == "FLOAT32":
            raise UserError(f"{about} is float32; {_FLOAT}")
        if tensor.type != "INT8" and not host:
            raise UserError(
                f"{about} is {tensor.type.lower()}, and only int8 is supported; "
                "convert the model with full-integer int8 quantisation"
            )
        shape, signature = tensor.shape, tensor.signature or tensor.shape
        if -1 in signature[1:] or not shape or any(n < 1 for n in shape):
            shown = list(signature if -1 in signature[1:] else shape)
            raise UserError(
                f"{about} has shape {shown}; every dimension but the batch must be fixed, "
                "so convert the model with a static input shape"
            )
        if tensor.size > LARGEST_TENSOR:
            raise UserError(
                f"{about} has {tensor.size} elements; at most {LARGEST_TENSOR} are supported"
            )
        if len(tensor.scales) != 1:
            many = "no scale" if not tensor.scales else f"{len(tensor.scales)} scales"
            raise UserError(f"{about} has {many}, and needs one; {_FLOAT}")
        if not (math.isfinite(tensor.scales[0]) and tensor.scales[0] > 0):
            raise UserError(
                f"{about} has scale {tensor.scales[0]}, which must be finite and greater than "
                "zero; quantise the model again with representative data"
            )
        if not -128 <= self._quantisation(tensor)[1] <= 127:
            raise UserError(
                f"{about} has zero point {tensor.zero_points[0]}, which is out of the range of its "
                "type; quantise the model again"
            )

    def _quantisation(self, tensor: FileTensor) -> tables.Quantisation:
        """Scale and zero point as int8, which is how the graph holds a uint8 tensor too."""
        zero_point = tensor.zero_points[0] if tensor.zero_points else 0
        return tensor.scales[0], zero_point - (128 if tensor.type == "UINT8" else 0)

    def _border(self, op: FileOperator) -> bool:
        """Whether ``op`` only changes between the host's type and int8; then, drop it."""
        if op.kind not in ("QUANTIZE", "DEQUANTIZE") or len(op.inputs) != 1 or not op.outputs:
            return False
        if op.inputs[0] == -1:
            return False
        source, target = (self.file.tensors[i] for i in (op.inputs[0], op.outputs[0]))
        read, written = (source.index in self.file.inputs, target.index in self.file.outputs)
        hidden = source.index not in self.file.inputs + self.file.outputs
        if read and source.type == "FLOAT32":
            return self._stand_in(source.index, target.index, rename=True)
        if written and op.kind == "DEQUANTIZE":
            return self._stand_in(target.index, source.index, rename=hidden)
        if {source.type, target.type} != {"INT8", "UINT8"} or len(source.scales) != 1:
            return False
        if source.scales != target.scales:
            return False
        if self._quantisation(source) != self._quantisation(target):
            return False
        if read and source.type == "UINT8" and not written:
            return self._stand_in(target.index, source.index, rename=False)
        if written and hidden and self._stand_in(target.index, source.index, rename=True):
            self.offsets[source.index] = 128
            return True
        return False

    def _stand_in(self, index: int, other: int, *, rename: bool) -> bool:
        """Let tensor ``other`` take the place of ``index``, and its name, unless in a circle."""
        if index in self.stand_ins or self._resolve(other) == index:
            return False
        self.stand_ins[index] = other
        if rename:
            self.names[other], self.names[index] = self.names[index], self.names[other]
        return True

    # Operands

    def file_tensor(self, op: FileOperator, n: int) -> FileTensor:
        if n >= len(op.inputs) or op.inputs[n] == -1:
            raise ValueError(f"operand {n} is missing")
        return self.file.tensors[self._resolve(op.inputs[n])]

    def read(self, op: FileOperator, n: int = 0) -> Tensor:
        """The activation that is operand ``n``."""
        tensor = self.file_tensor(op, n)
        if tensor.data is not None:
            raise ValueError(
                f"operand '{tensor.name}' is a constant where an activation is needed; "
                "let the converter fold it"
            )
        name = self.names[tensor.index]
        if name not in self.tensors:
            self._check_tensor(tensor, self._where(op), False)
            raise ValueError(f"operand '{name}' is computed by no earlier operator")
        return self.tensors[name]

    def constant(self, op: FileOperator, n: int) -> np.ndarray:
        return self.file_tensor(op, n).array()

    def scalar(self, op: FileOperator, n: int) -> tuple[tables.Quantisation, int]:
        """Quantisation and value of an int8 constant of one element."""
        tensor = self.file_tensor(op, n)
        value = tensor.array()
        if tensor.type != "INT8" or value.size != 1 or len(tensor.scales) != 1:
            raise ValueError(
                f"constant '{tensor.name}' must be one int8 with a scale, "
                f"not {tensor.type.lower()} {list(tensor.shape)}"
            )
        return self._quantisation(tensor), int(value.reshape(()))

    def is_constant(self, op: FileOperator, n: int) -> bool:
        return self.file_tensor(op, n).data is not None

    def integers(self, op: FileOperator, n: int) -> list[int]:
        """A constant list of integers."""
        return [int(i) for i in self.constant(op, n).reshape(-1)]

    # Results

    def write(self, op: FileOperator, shape: tuple[int, ...] | None = None) -> Tensor:
        """The output of ``op``, checked against the shape that the operator computes."""
        name = self._register(op.outputs[0], self._where(op), op.kind)
        tensor = self.tensors[name]
        if shape is not None and tensor.shape != shape:
            raise ValueError(
                f"the file declares an output of {list(tensor.shape)}, but the operator computes "
                f"{list(shape)}; convert the model again"
            )
        return tensor

    def temporary(self, like: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = Tensor(self._unique(name), shape, like.scale, like.zero_point)
        self.tensors[tensor.name] = tensor
        return tensor

    def emit(
        self, kind: type[Task], stem: str, inputs: tuple[Tensor, ...], output: Tensor, **fields: Any
    ) -> None:
        stem = stem.lower().replace("_2d", "2d")
        n = self.counts.get(stem, 0)
        self.counts[stem] = n + 1
        name = f"{stem}_{n}" if n else stem
        self.tasks.append(kind(name, tuple(t.name for t in inputs), output.name, **fields))

    def reshaped(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """``x`` itself, or a reshaped view of it."""
        if x.shape == shape:
            return x
        y = self.temporary(x, f"{x.name}/reshape", shape)
        self.emit(Reshape, "reshape", (x,), y)
        return y

    def through(
        self, op: FileOperator, output: Tensor, shape: tuple[int, ...]
    ) -> tuple[Tensor, Callable[[], None]]:
        """A tensor of ``shape`` to compute, and what brings it to ``output``'s shape."""
        if output.shape == shape:
            return output, lambda: None
        if math.prod(shape) != output.size:
            self.write(op, shape)
        inner = self.temporary(output, f"{output.name}/flat", shape)
        return inner, lambda: self.emit(Reshape, "reshape", (inner,), output)


def _pair(x: Tensor) -> tables.Quantisation:
    return x.scale, x.zero_point


def _image(x: Tensor) -> tuple[int, int, int]:
    if len(x.shape) != 4 or x.shape[0] != 1:
        raise ValueError(f"its input must be one image (1, H, W, C), not {list(x.shape)}")
    return x.shape[1], x.shape[2], x.shape[3]


def _option(op: FileOperator, *names: str) -> tuple[int, ...]:
    """Options that count something, hence are at least 1."""
    values = tuple(int(op.options[name]) for name in names)
    if min(values) < 1:
        raise ValueError(f"{' and '.join(names)} must be at least 1, not {values}")
    return values


def _window(
    op: FileOperator,
    size: tuple[int, int],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...] = (1, 1),
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Padding (top, bottom, left, right) and output size (``ComputePaddingHeightWidth``)."""
    padding: list[int] = []
    output: list[int] = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        reach = (k - 1) * d + 1
        if op.options["Padding"]:
            if reach > n:
                raise ValueError(f"a window of {reach} does not fit an input of {n} unpadded")
            output.append((n - reach) // s + 1)
            padding += [0, 0]
        else:
            output.append(-(-n // s))
            total = max((output[-1] - 1) * s + reach - n, 0)
            padding += [total // 2, total - total // 2]
    return (padding[0], padding[1], padding[2], padding[3]), (output[0], output[1])


def _clamp(op: FileOperator, output: Tensor) -> tuple[int, int]:
    return activation_range(op.activation, output.scale, output.zero_point)


def _weights(build: _Lowering, op: FileOperator, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights as int16 without zero point, and one scale for all or for each index of ``axis``."""
    tensor = build.file_tensor(op, 1)
    if tensor.type == "FLOAT32":
        raise ValueError(f"its weights '{tensor.name}' are float32; {_FLOAT}")
    if tensor.type not in ("INT8", "INT4"):
        raise ValueError(f"its weights must be int8 or int4, not {tensor.type.lower()}")
    values, scales = tensor.array(), np.array(tensor.scales)
    if values.ndim <= axis or scales.size not in (1, values.shape[axis]):
        raise ValueError(f"its weights {list(values.shape)} have {scales.size} scales")
    if scales.size > 1 and tensor.axis != axis:
        raise ValueError(f"its weights are quantised along axis {tensor.axis}, not {axis}")
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError("the scales of its weights must be finite and greater than zero")
    zero_points = set(tensor.zero_points or (0,))
    # The convolution kernels ignore a zero point of the weights, so none may have one.
    if op.kind == "FULLY_CONNECTED" and scales.size == 1:
        zero_point = zero_points.pop()
        if zero_points or not -128 <= zero_point <= 127:
            raise ValueError("its weights must have one zero point, an int8")
        return values.astype(np.int16) - np.int16(zero_point), scales
    if zero_points != {0}:
        raise ValueError("its weights must have zero point 0; quantise them symmetrically")
    return values.astype(np.int16), scales


def _bias(build: _Lowering, op: FileOperator, size: int) -> np.ndarray:
    if len(op.inputs) < 3 or op.inputs[2] == -1:
        return np.zeros(size, np.int32)
    bias = build.constant(op, 2)
    if bias.dtype != np.int32 or bias.size != size:
        raise ValueError(
            f"its bias must be {size} int32 numbers, not {bias.size} of {bias.dtype.name}"
        )
    return bias.reshape(-1)


def _factors(reals: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """``multiplier`` and ``shift`` for ``size`` channels from one real or one for each."""
    pairs = [quantise_multiplier(float(real)) for real in np.broadcast_to(reals, (size,))]
    return {
        "multiplier": np.array([m for m, _ in pairs], np.int32),
        "shift": np.array([s for _, s in pairs], np.int8),
    }


def _conv(build: _Lowering, op: FileOperator) -> None:
    depthwise = op.kind == "DEPTHWISE_CONV_2D"
    x = build.read(op)
    height, width, channels = _image(x)
    weights, scales = _weights(build, op, 3 if depthwise else 0)
    if weights.ndim != 4:
        raise ValueError(f"its weights must have four dimensions, not {list(weights.shape)}")
    if depthwise:
        if weights.shape[0] != 1:
            raise ValueError(f"its weights must be (1, H, W, C), not {list(weights.shape)}")
        weights = weights.transpose(3, 1, 2, 0)
    outputs, kernel, depth = weights.shape[0], weights.shape[1:3], weights.shape[3]
    if depth == 0 or channels % depth or outputs % (channels // depth):
        raise ValueError(
            f"weights {list(build.file_tensor(op, 1).shape)} do not fit {channels} input channels"
        )
    stride = _option(op, "StrideH", "StrideW")
    dilation = _option(op, "DilationHFactor", "DilationWFactor")
    padding, size = _window(op, (height, width), kernel, stride, dilation)
    y = build.write(op, (1, *size, outputs))
    build.emit(
        Conv,
        op.kind,
        (x,),
        y,
        weights=np.ascontiguousarray(weights),
        bias=_bias(build, op, outputs),
        **_factors(x.scale * scales / y.scale, outputs),
        stride=stride,
        dilation=dilation,
        padding=padding,
        groups=channels // depth,
        clamp=_clamp(op, y),
    )


def _fully_connected(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    weights, scales = _weights(build, op, 0)
    if weights.ndim != 2 or not weights.shape[1] or x.size % weights.shape[1]:
        raise ValueError(f"weights {list(weights.shape)} do not fit an input of {list(x.shape)}")
    if op.options["WeightsFormat"]:
        raise ValueError("its weights must be in the default format, not shuffled")
    outputs, inputs = weights.shape
    y = build.write(op)
    rows = x.shape[:-1]
    if x.shape[-1] != inputs or y.shape != (*rows, outputs):
        rows = (x.size // inputs,)
    x = build.reshaped(x, (*rows, inputs))
    inner, finish = build.through(op, y, (*rows, outputs))
    if scales.size == 1:
        # The kernel multiplies a single scale in float32, unlike scales per channel.
        reals = np.array([float(np.float32(x.scale) * np.float32(scales[0])) / y.scale])
    else:
        reals = x.scale * scales / y.scale
    build.emit(
        MatMul,
        op.kind,
        (x,),
        inner,
        weights=weights,
        bias=_bias(build, op, outputs),
        **_factors(reals, outputs),
        clamp=_clamp(op, y),
    )
    finish()


def _pool(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    height, width, channels = _image(x)
    kernel = _option(op, "FilterHeight", "FilterWidth")
    stride = _option(op, "StrideH", "StrideW")
    padding, size = _window(op, (height, width), kernel, stride)
    y = build.write(op, (1, *size, channels))
    if abs(x.scale - y.scale) > 1e-6 or x.zero_point != y.zero_point:
        raise ValueError(
            f"its input {_pair(x)} and output {_pair(y)} must share scale and zero point"
        )
    mode = "max" if op.kind == "MAX_POOL_2D" else "average"
    build.emit(
        Pool,
        op.kind,
        (x,),
        y,
        mode=mode,
        kernel=kernel,
        stride=stride,
        padding=padding,
        clamp=_clamp(op, y),
    )


def _axes(build: _Lowering, op: FileOperator, rank: int) -> list[int]:
    axes = sorted({axis + rank if axis < 0 else axis for axis in build.integers(op, 1)})
    if not axes or axes[0] < 0 or axes[-1] >= rank:
        raise ValueError(f"axes {axes} do not exist in {rank} dimensions")
    return axes


def _mean(build: _Lowering, op: FileOperator) -> None:
    """A mean is a product with ones, whose factor includes the division."""
    x = build.read(op)
    axes = _axes(build, op, len(x.shape))
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise ValueError(f"axes {axes} must be adjacent")
    outer = math.prod(x.shape[: axes[0]])
    inner = math.prod(x.shape[axes[-1] + 1 :])
    count = x.size // (outer * inner)
    y = build.write(op)
    multiplier, shift = mean_multiplier(x.scale, y.scale, count)

    def ones(size: int) -> dict[str, np.ndarray]:
        return {
            "bias": np.zeros(size, np.int32),
            "multiplier": np.full(size, multiplier, np.int32),
            "shift": np.full(size, shift, np.int8),
        }

    if inner == 1:
        x = build.reshaped(x, (outer, count))
        result, finish = build.through(op, y, (outer, 1))
        weights = np.ones((1, count), np.int16)
        build.emit(MatMul, op.kind, (x,), result, weights=weights, **ones(1))
    elif len(x.shape) == 4 and x.shape[0] == 1 and axes[0] > 0 and axes[-1] < 3:
        kernel = tuple(n if i in axes else 1 for i, n in enumerate(x.shape) if i in (1, 2))
        shape = (1, x.shape[1] // kernel[0], x.shape[2] // kernel[1], x.shape[3])
        result, finish = build.through(op, y, shape)
        weights = np.ones((x.shape[3], *kernel, 1), np.int16)
        build.emit(
            Conv, op.kind, (x,), result, weights=weights, groups=x.shape[3], **ones(x.shape[3])
        )
    elif outer == 1:
        x = build.reshaped(x, (1, count, 1, inner))
        result, finish = build.through(op, y, (1, 1, 1, inner))
        weights = np.ones((inner, count, 1, 1), np.int16)
        build.emit(Conv, op.kind, (x,), result, weights=weights, groups=inner, **ones(inner))
    else:
        raise ValueError(
            f"axes {axes} of {list(x.shape)} are not supported; "
            "average over height and width, or over the last axis"
        )
    finish()


def _binary(build: _Lowering, op: FileOperator) -> None:
    """ADD, SUB or MUL, of two activations (ADD only) or with a constant of one element."""
    constants = [n for n in (0, 1) if build.is_constant(op, n)]
    if not constants:
        if op.kind != "ADD":
            raise ValueError("two activations are supported for ADD only")
        a, b = build.read(op, 0), build.read(op, 1)
        if a.shape != b.shape:
            raise ValueError(
                f"its operands {list(a.shape)} and {list(b.shape)} must have equal shapes; "
                "broadcasting is not supported"
            )
        y = build.write(op, a.shape)
        rescale_a, rescale_b, rescale_out = add_parameters(a.scale, b.scale, y.scale)
        build.emit(
            Add,
            op.kind,
            (a, b),
            y,
            rescale_a=rescale_a,
            rescale_b=rescale_b,
            rescale_out=rescale_out,
            clamp=_clamp(op, y),
        )
        return
    if len(constants) == 2:
        raise ValueError("both operands are constants; let the converter fold them")
    x = build.read(op, 1 - constants[0])
    quantisation, value = build.scalar(op, constants[0])
    y = build.write(op, x.shape)
    clamp = _clamp(op, y)
    if op.kind == "MUL":
        table = tables.mul_table(_pair(x), _pair(y), quantisation, value, clamp)
    else:
        signs = (1, 1) if op.kind == "ADD" else (-1, 1) if constants[0] == 0 else (1, -1)
        table = tables.add_table(_pair(x), _pair(y), quantisation, value, clamp, signs)
    build.emit(Lookup, op.kind, (x,), y, function=op.kind.lower(), table=table)


def _unary(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    y = build.write(op, x.shape)
    i, o = _pair(x), _pair(y)
    match op.kind:
        case "QUANTIZE":
            table = requantise_table(*i, *o)
        case "RELU6":
            if i != o:
                raise ValueError(f"its input {i} and output {o} must share scale and zero point")
            table = tables.relu6_table(i)
        case "LEAKY_RELU":
            table = tables.leaky_relu_table(i, o, op.options["Alpha"])
        case "PRELU":
            table = tables.prelu_table(i, o, *build.scalar(op, 1))
        case "GELU":
            table = tables.gelu_table(i, o, bool(op.options["Approximate"]))
        case _:
            table = _TABLES[op.kind](i, o)
    build.emit(Lookup, op.kind, (x,), y, function=op.kind.lower(), table=table)


def _softmax(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    y = build.write(op, x.shape)
    if _pair(y) != (1 / 256, -128):
        raise ValueError(f"its output must have scale 1/256 and zero point -128, not {_pair(y)}")
    if x.shape[-1] > SOFTMAX_ROW:
        raise ValueError(f"rows must have at most {SOFTMAX_ROW} elements, not {x.shape[-1]}")
    multiplier, left_shift, diff_min = softmax_parameters(x.scale, op.options["Beta"])
    fields = {"multiplier": multiplier, "left_shift": left_shift, "diff_min": diff_min}
    build.emit(Softmax, op.kind, (x,), y, **fields)


def _pad(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    flat = build.integers(op, 1)
    if len(flat) != 2 * len(x.shape) or min(flat) < 0:
        raise ValueError(f"paddings {flat} do not fit an input of {list(x.shape)}")
    padding = tuple(zip(flat[::2], flat[1::2], strict=True))
    y = build.write(
        op, tuple(n + before + after for n, (before, after) in zip(x.shape, padding, strict=True))
    )
    value = y.zero_point
    if len(op.inputs) > 2 and op.inputs[2] != -1:
        quantisation, value = build.scalar(op, 2)
        if quantisation != _pair(y):
            raise ValueError("its padding value must have the output's scale and zero point")
    build.emit(Pad, "pad", (x,), y, padding=padding, value=value)


def _concatenation(build: _Lowering, op: FileOperator) -> None:
    parts = tuple(build.read(op, n) for n in range(len(op.inputs)))
    rank = len(parts[0].shape)
    axis = int(op.options["Axis"])
    axis += rank if axis < 0 else 0
    sides = {(*p.shape[:axis], *p.shape[axis + 1 :]) for p in parts}
    if not 0 <= axis < rank or len(sides) > 1 or any(len(p.shape) != rank for p in parts):
        raise ValueError(f"shapes {[list(p.shape) for p in parts]} do not join on axis {axis}")
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    y = build.write(op, tuple(shape))
    if any(_pair(p) != _pair(y) for p in parts):
        raise ValueError(
            "its inputs and output must share scale and zero point; "
            "convert the model with a converter that inserts QUANTIZE"
        )
    if op.activation != "none":
        raise ValueError(f"a fused {op.activation} is not supported")
    build.emit(Concat, "concat", parts, y, axis=axis)


def _reshape(build: _Lowering, op: FileOperator) -> None:
    x, y = build.read(op), build.write(op)
    if x.size != y.size:
        build.write(op, x.shape)
    build.emit(Reshape, op.kind, (x,), y)


def _transpose(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    permutation = tuple(build.integers(op, 1))
    if sorted(permutation) != list(range(len(x.shape))):
        raise ValueError(f"permutation {permutation} does not fit {len(x.shape)} dimensions")
    y = build.write(op, tuple(x.shape[i] for i in permutation))
    build.emit(Transpose, op.kind, (x,), y, permutation=permutation)


def _slice(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    start, size = build.integers(op, 1), build.integers(op, 2)
    if len(start) != len(x.shape) or len(size) != len(x.shape):
        raise ValueError(f"begin {start} and size {size} do not fit {list(x.shape)}")
    shape = [n - b if s == -1 else s for n, b, s in zip(x.shape, start, size, strict=True)]
    _emit_slice(build, op, x, start, shape, [1] * len(start))


def _strided_slice(build: _Lowering, op: FileOperator) -> None:
    x = build.read(op)
    begin, end, step = (build.integers(op, n) for n in (1, 2, 3))
    rank = len(x.shape)
    if any(len(v) != rank for v in (begin, end, step)):
        raise ValueError(f"begin, end and strides must have {rank} elements")
    if op.options["EllipsisMask"] or op.options["NewAxisMask"] or op.options["Offset"]:
        raise ValueError("ellipsis, new axes and offsets are not supported; write plain ranges")
    if min(step) < 1:
        raise ValueError(f"strides must be at least 1, not {step}")
    start, shape = [], []
    for i, n in enumerate(x.shape):
        first = 0 if int(op.options["BeginMask"]) >> i & 1 else begin[i]
        first = min(max(first + n if first < 0 else first, 0), n)
        last = n if int(op.options["EndMask"]) >> i & 1 else end[i]
        last = min(max(last + n if last < 0 else last, 0), n)
        if int(op.options["ShrinkAxisMask"]) >> i & 1:
            last = first + 1
        start.append(first)
        shape.append(-(-(last - first) // step[i]))
    _emit_slice(build, op, x, start, shape, step)


def _emit_slice(
    build: _Lowering,
    op: FileOperator,
    x: Tensor,
    start: list[int],
    shape: list[int],
    step: list[int],
) -> None:
    for n, first, count, by in zip(x.shape, start, shape, step, strict=True):
        if first < 0 or count < 1 or first + (count - 1) * by >= n:
            raise ValueError(f"start {start} and size {shape} do not fit {list(x.shape)}")
    y = build.write(op)
    part, finish = build.through(op, y, tuple(shape))
    build.emit(Slice, "slice", (x,), part, start=tuple(start), step=tuple(step))
    finish()


_TABLES: dict[str, Callable[[tables.Quantisation, tables.Quantisation], np.ndarray]] = {
    "ABS": tables.abs_table,
    "ELU": tables.elu_table,
    "HARD_SWISH": tables.hard_swish_table,
    "LOGISTIC": tables.logistic_table,
    "NEG": tables.neg_table,
    "RELU": tables.relu_table,
    "TANH": tables.tanh_table,
}

_HANDLERS: dict[str, Callable[[_Lowering, FileOperator], None]] = {
    "ADD": _binary,
    "AVERAGE_POOL_2D": _pool,
    "CONCATENATION": _concatenation,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _conv,
    "EXPAND_DIMS": _reshape,
    "FULLY_CONNECTED": _fully_connected,
    "GELU": _unary,
    "LEAKY_RELU": _unary,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "MUL": _binary,
    "PAD": _pad,
    "PADV2": _pad,
    "PRELU": _unary,
    "QUANTIZE": _unary,
    "RELU6": _unary,
    "RESHAPE": _reshape,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _binary,
    "TRANSPOSE": _transpose,
    **dict.fromkeys(_TABLES, _unary),
}

OPERATORS = tuple(sorted(_HANDLERS))
