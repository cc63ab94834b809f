"""Recurrent highway network (Zilly, Srivastava, Koutnik, Schmidhuber 2016, arXiv 1607.03474), carry gate 1 - t.

The input enters the first of the inner steps only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"depth": 3}
SHAPES = {
    "inputs": ports("x_h x_t", "D"),
    "params": {**ports("R_h R_t", "depth D D", "mixing"), **ports("b_h b_t", "depth D")},
    "states": ports("s", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_h"].shape
    s, out = state["s"].copy(), np.zeros((T, D))
    for t in range(T):
        for layer in range(len(params["b_h"])):
            old = s.copy()
            for d in range(D):
                a = into(d, old, params["R_h"][layer]) + params["b_h"][layer, d]
                b = into(d, old, params["R_t"][layer]) + params["b_t"][layer, d]
                if layer == 0:
                    a, b = a + inputs["x_h"][t, d], b + inputs["x_t"][t, d]
                s[d] = math.tanh(a) * sigmoid(b) + old[d] * (1 - sigmoid(b))
        out[t] = s
    return {"h": out}, {"s": s}
