"""LEM (Rusch, Mishra, Erichson, Mahoney 2021, arXiv 2110.04744).

Both step sizes read the old `y`; `y` reads the new `z`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"dt": 1.0}
SHAPES = {
    "inputs": ports("x_1 x_2 x_z x_y", "D"),
    "params": ports("W_1 W_2 W_z W_y", "D D", "mixing"),
    "states": ports("y z", "D"),
    "outputs": ports("y", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_1"].shape
    y, z, out = state["y"].copy(), state["z"].copy(), np.zeros((T, D))
    for t in range(T):
        fast = [CONSTANTS["dt"] * sigmoid(into(d, y, params["W_1"]) + inputs["x_1"][t, d]) for d in range(D)]
        slow = [CONSTANTS["dt"] * sigmoid(into(d, y, params["W_2"]) + inputs["x_2"][t, d]) for d in range(D)]
        for d in range(D):
            z[d] = (1 - fast[d]) * z[d] + fast[d] * math.tanh(into(d, y, params["W_z"]) + inputs["x_z"][t, d])
        for d in range(D):
            y[d] = (1 - slow[d]) * y[d] + slow[d] * math.tanh(into(d, z, params["W_y"]) + inputs["x_y"][t, d])
        out[t] = y
    return {"y": out}, {"y": y, "z": z}
