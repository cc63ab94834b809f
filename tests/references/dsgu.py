"""Deep simple gated unit (Gao, Glowacka 2016, Deep gate recurrent neural network, arXiv 1604.02910).

The hard sigmoid is 0.2 x + 0.5, cut off at 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_g x_z", "D"),
    "params": ports("U_g U_o U_z", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_g"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        mixed = [inputs["x_g"][t, d] * old[d] for d in range(D)]
        gated = [math.tanh(into(d, mixed, params["U_g"])) * old[d] for d in range(D)]
        for d in range(D):
            update = min(max(0.2 * (inputs["x_z"][t, d] + into(d, old, params["U_z"])) + 0.5, 0.0), 1.0)
            h[d] = (1 - update) * old[d] + update * sigmoid(into(d, gated, params["U_o"]))
        out[t] = h
    return {"h": out}, {"h": h}
