"""ONNX's functions of one number, evaluated in float64 on the reals that an int8 can stand for."""

import math
from collections.abc import Callable

import numpy as np

from .onnx_file import Node

__all__ = ["BINARY", "UNARY", "unary"]

Function = Callable[[np.ndarray], np.ndarray]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _gelu(node: Node) -> Function:
    if node.text("approximate", "none") == "tanh":
        return _gelu_tanh
    return lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _hard_sigmoid(node: Node) -> Function:
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    return lambda x: np.clip(alpha * x + beta, 0, 1)


def _leaky_relu(node: Node) -> Function:
    alpha = node.number("alpha", 0.01)
    return lambda x: np.where(x < 0, alpha * x, x)


def _elu(node: Node) -> Function:
    alpha = node.number("alpha", 1.0)
    return lambda x: np.where(x < 0, alpha * np.expm1(x), x)


def _celu(node: Node) -> Function:
    alpha = node.number("alpha", 1.0)
    return lambda x: np.where(x < 0, alpha * np.expm1(x / alpha), x)


def _selu(node: Node) -> Function:
    alpha = node.number("alpha", 1.67326319217681884765625)
    gamma = node.number("gamma", 1.05070102214813232421875)
    return lambda x: gamma * np.where(x < 0, alpha * np.expm1(x), x)


def _thresholded_relu(node: Node) -> Function:
    alpha = node.number("alpha", 1.0)
    return lambda x: np.where(x > alpha, x, 0)


def _quick_gelu(node: Node) -> Function:
    alpha = node.number("alpha", 1.702)
    return lambda x: x * _sigmoid(alpha * x)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


_WITH_ATTRIBUTES: dict[str, Callable[[Node], Function]] = {
    "Celu": _celu,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky_relu,
    "QuickGelu": _quick_gelu,
    "Selu": _selu,
    "ThresholdedRelu": _thresholded_relu,
}

_PLAIN: dict[str, Function] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Erf": _erf,
    "Exp": np.exp,
    "FastGelu": _gelu_tanh,
    "Floor": np.floor,
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Log": np.log,
    "Mish": lambda x: x * np.tanh(_softplus(x)),
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Round": np.rint,
    "Sigmoid": _sigmoid,
    "Sign": np.sign,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}

UNARY = frozenset(_PLAIN) | frozenset(_WITH_ATTRIBUTES)

BINARY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Add": np.add,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Pow": np.power,
    "Sub": np.subtract,
}


def unary(node: Node) -> Function:
    """The function of a node whose operator is in :data:`UNARY`, its attributes bound."""
    if node.op in _PLAIN:
        return _PLAIN[node.op]
    return _WITH_ATTRIBUTES[node.op](node)
