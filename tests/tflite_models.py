"""Small TensorFlow Lite models, written operator by operator, and the reference that runs them."""

from typing import Any

import flatbuffers
import numpy as np
import tflite
from tflite_micro.python.tflite_micro import runtime

__all__ = ["ModelBuilder", "reference"]

_DTYPES = {
    "FLOAT32": np.float32,
    "INT4": np.uint8,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
}


class ModelBuilder:
    """One subgraph under construction.

    Tensors are added first, then the operators between them; ``rng``, seeded, gives weights,
    scales and zero points that the caller leaves open.
    """

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.tensors: list[dict[str, Any]] = []
        self.operators: list[tuple[str, list[int], list[int], str | None, dict[str, Any]]] = []

    def tensor(
        self,
        shape: tuple[int, ...],
        *,
        type: str = "INT8",
        scale: Any = None,
        zero_point: Any = None,
        data: Any = None,
        axis: int = 0,
        name: str | None = None,
        signature: tuple[int, ...] | None = None,
    ) -> int:
        """Add a tensor as it is given; ``scale`` may be a list, per channel of ``axis``."""
        scales = [] if scale is None else np.atleast_1d(np.asarray(scale, np.float32))
        zero_points = [] if scale is None else np.atleast_1d(np.asarray(zero_point or 0))
        if len(scales) > 1 and len(zero_points) == 1:
            zero_points = np.repeat(zero_points, len(scales))
        self.tensors.append(
            {
                "name": f"t{len(self.tensors)}" if name is None else name,
                "shape": shape,
                "type": type,
                "scales": scales,
                "zero_points": zero_points,
                "data": None if data is None else np.asarray(data).astype(_DTYPES[type]),
                "axis": axis,
                "signature": signature,
            }
        )
        return len(self.tensors) - 1

    def activation(self, *shape: int, scale: float | None = None, zero_point: int | None = None):
        """An int8 activation, of random quantisation where that is left open."""
        scale = float(self.rng.uniform(0.01, 0.1)) if scale is None else scale
        zero_point = int(self.rng.integers(-128, 128)) if zero_point is None else zero_point
        return self.tensor(shape, scale=scale, zero_point=zero_point)

    def weights(self, *shape: int, axis: int | None = None, zero_point: int = 0) -> int:
        """Random int8 weights, with a scale per channel of ``axis`` or one for all."""
        count = 1 if axis is None else shape[axis]
        return self.tensor(
            shape,
            scale=self.rng.uniform(0.002, 0.02, count),
            zero_point=zero_point,
            data=self.rng.integers(-127, 128, shape),
            axis=axis or 0,
        )

    def bias(self, size: int, magnitude: int = 3000) -> int:
        """Random int32 bias."""
        data = self.rng.integers(-magnitude, magnitude, size)
        return self.tensor((size,), type="INT32", data=data)

    def integers(self, *values: int) -> int:
        """A constant list of int32, such as axes or a shape."""
        return self.tensor((len(values),), type="INT32", data=values)

    def op(
        self,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        options: str | None = None,
        **fields: Any,
    ) -> None:
        """Add an operator; ``fields`` are those of the options table, by their flatbuffer names."""
        self.operators.append((kind, inputs, outputs, options, fields))

    def finish(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The model as the bytes of a file."""
        b = flatbuffers.Builder(4096)
        buffers = [self._buffer(b, None)]
        tensors = []
        for tensor in self.tensors:
            if tensor["data"] is not None:
                buffers.append(self._buffer(b, tensor["data"]))
            index = 0 if tensor["data"] is None else len(buffers) - 1
            tensors.append(self._tensor(b, tensor, index))
        kinds = sorted({kind for kind, *_ in self.operators})
        operators = [self._operator(b, kinds, *op) for op in self.operators]
        codes = [self._code(b, kind) for kind in kinds]
        vectors = [_table_vector(b, v) for v in (tensors, operators, codes, buffers)]
        in_vector = b.CreateNumpyVector(np.array(inputs, np.int32))
        out_vector = b.CreateNumpyVector(np.array(outputs, np.int32))
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, vectors[0])
        tflite.SubGraphAddInputs(b, in_vector)
        tflite.SubGraphAddOutputs(b, out_vector)
        tflite.SubGraphAddOperators(b, vectors[1])
        subgraphs = _table_vector(b, [tflite.SubGraphEnd(b)])
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, vectors[2])
        tflite.ModelAddSubgraphs(b, subgraphs)
        tflite.ModelAddBuffers(b, vectors[3])
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())

    @staticmethod
    def _buffer(b: flatbuffers.Builder, data: np.ndarray | None) -> int:
        vector = None
        if data is not None:
            b.StartVector(1, data.nbytes, 16)
            b.head -= data.nbytes
            b.Bytes[b.head : b.head + data.nbytes] = data.tobytes()
            vector = b.EndVector()
        tflite.BufferStart(b)
        if vector is not None:
            tflite.BufferAddData(b, vector)
        return tflite.BufferEnd(b)

    @staticmethod
    def _tensor(b: flatbuffers.Builder, tensor: dict[str, Any], buffer: int) -> int:
        name = b.CreateString(tensor["name"])
        shape = b.CreateNumpyVector(np.array(tensor["shape"], np.int32))
        signature = None
        if tensor["signature"] is not None:
            signature = b.CreateNumpyVector(np.array(tensor["signature"], np.int32))
        quantisation = None
        if len(tensor["scales"]):
            scales = b.CreateNumpyVector(np.asarray(tensor["scales"], np.float32))
            zero_points = b.CreateNumpyVector(np.asarray(tensor["zero_points"], np.int64))
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scales)
            tflite.QuantizationParametersAddZeroPoint(b, zero_points)
            tflite.QuantizationParametersAddQuantizedDimension(b, tensor["axis"])
            quantisation = tflite.QuantizationParametersEnd(b)
        tflite.TensorStart(b)
        tflite.TensorAddName(b, name)
        tflite.TensorAddShape(b, shape)
        if signature is not None:
            tflite.TensorAddShapeSignature(b, signature)
        tflite.TensorAddType(b, getattr(tflite.TensorType, tensor["type"]))
        tflite.TensorAddBuffer(b, buffer)
        if quantisation is not None:
            tflite.TensorAddQuantization(b, quantisation)
        return tflite.TensorEnd(b)

    @staticmethod
    def _code(b: flatbuffers.Builder, kind: str) -> int:
        code = getattr(tflite.BuiltinOperator, kind)
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(b, code)
        tflite.OperatorCodeAddVersion(b, 1)
        return tflite.OperatorCodeEnd(b)

    @staticmethod
    def _operator(
        b: flatbuffers.Builder,
        kinds: list[str],
        kind: str,
        inputs: list[int],
        outputs: list[int],
        options: str | None,
        fields: dict[str, Any],
    ) -> int:
        table = None
        if options is not None:
            getattr(tflite, f"{options}Start")(b)
            for field, value in fields.items():
                getattr(tflite, f"{options}Add{field}")(b, value)
            table = getattr(tflite, f"{options}End")(b)
        in_vector = b.CreateNumpyVector(np.array(inputs, np.int32))
        out_vector = b.CreateNumpyVector(np.array(outputs, np.int32))
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, kinds.index(kind))
        tflite.OperatorAddInputs(b, in_vector)
        tflite.OperatorAddOutputs(b, out_vector)
        if table is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, options or ""))
            tflite.OperatorAddBuiltinOptions(b, table)
        return tflite.OperatorEnd(b)


def _table_vector(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def reference(data: bytes, *inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Every activation of a model, by tensor name, as TensorFlow Lite Micro computes it.

    A name ends at its first semicolon, as in the frontend.
    """
    interpreter = runtime.Interpreter.from_bytes(
        data, arena_size=1 << 22, intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors
    )
    for i, value in enumerate(inputs):
        interpreter.set_input(value, i)
    interpreter.invoke()
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    values = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        if not model.Buffers(tensor.Buffer()).DataLength():
            read = interpreter.GetTensor(i, 0)
            name = tensor.Name().decode().split(";")[0]
            values[name] = read["tensor_data"].reshape(read["shape"])
    return values
