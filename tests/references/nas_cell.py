"""NASCell (Zoph, Le 2016, Neural architecture search with reinforcement learning, arXiv 1611.01578).

Eight pairs of an input and a recurrent product: all are added but the fourth, which is multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, relu, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "8 D"),
    "params": ports("U", "8 D D", "mixing"),
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, _, D = inputs["x"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            x, m = inputs["x"][t, :, d], [into(d, old, U) for U in params["U"]]
            first = math.tanh(sigmoid(x[0] + m[0]) * relu(x[1] + m[1]))
            second = math.tanh(sigmoid(x[2] + m[2]) + relu(x[3] * m[3]))
            third = math.tanh(math.tanh(x[4] + m[4]) * sigmoid(x[5] + m[5]))
            fourth = sigmoid(math.tanh(x[6] + m[6]) + sigmoid(x[7] + m[7]))
            c[d] = math.tanh(first + c[d]) * second
            h[d] = math.tanh(c[d] * math.tanh(third + fourth))
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
