"""+RNN (Collins, Sohl-Dickstein, Sussillo 2016, Capacity and trainability of RNNs, arXiv 1611.09913).

One gate passes the input on to the next layer, the other one the state to the next step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, relu, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x x_y x_h x_gy x_gh", "D"),
    "params": ports("U_y U_h U_gy U_gh", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("y", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            a = {name: inputs[f"x_{name}"][t, d] + into(d, old, params[f"U_{name}"]) for name in ("y", "h", "gy", "gh")}
            up, on = sigmoid(a["gy"]), sigmoid(a["gh"])
            out[t, d] = up * inputs["x"][t, d] + (1 - up) * relu(a["y"])
            h[d] = on * old[d] + (1 - on) * math.tanh(a["h"])
    return {"y": out}, {"h": h}
