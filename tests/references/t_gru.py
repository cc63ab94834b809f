"""T-GRU (Balduzzi, Ghifary 2016, Strongly-typed recurrent neural networks, arXiv 1602.02218).

The gates see this input and the one before, which is zero at first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "E"),
    "params": {**ports("V_z V_f V_o W_z W_f W_o", "E D"), **ports("b_z b_f b_o", "D")},
    "states": {**ports("h", "D"), **ports("prev_x", "E")},
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, _), D = inputs["x"].shape, len(params["b_z"])
    h, before, out = state["h"].copy(), state["prev_x"].copy(), np.zeros((T, D))
    for t in range(T):
        x = inputs["x"][t]
        for d in range(D):
            z, f, o = (
                into(d, before, params[f"V_{name}"]) + into(d, x, params[f"W_{name}"]) + params[f"b_{name}"][d]
                for name in "zfo"
            )
            h[d] = sigmoid(f) * h[d] + z * math.tanh(o)
        out[t], before = h, x
    return {"h": out}, {"h": h, "prev_x": before.copy()}
