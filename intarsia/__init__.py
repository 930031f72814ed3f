"""Intarsia: quantised networks to model-specific FPGA accelerators.

>>> import intarsia
>>> design = intarsia.compile("model.tflite", multipliers=144)  # doctest: +SKIP
>>> design.predict(x), design.simulate(x).cycles  # doctest: +SKIP
"""

from gen.errors import UserError
from gen.graph import Graph
from gen.target import Target

from .design import Design, Simulation, compile, load
from .graph import GraphBuilder

__all__ = [
    "Design",
    "Graph",
    "GraphBuilder",
    "Simulation",
    "Target",
    "UserError",
    "compile",
    "load",
]
