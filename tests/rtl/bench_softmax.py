"""cocotb tests of the softmax unit against the golden arithmetic."""

import json
import os
import random

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from gen.graph import Graph, Softmax, Tensor
from sim.golden import _exp, _product, _softmax
from tests.rtl.blocks import pack, unpack
from tests.rtl.stream import clocked, option
