"""Li-GRU (Ravanelli, Brakel, Omologo, Bengio 2018, arXiv 1803.10225): no reset gate, a rectified candidate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, relu, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_z x_h", "D"),
    "params": ports("U_z U_h", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_z"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            keep = sigmoid(inputs["x_z"][t, d] + into(d, old, params["U_z"]))
            h[d] = keep * old[d] + (1 - keep) * relu(inputs["x_h"][t, d] + into(d, old, params["U_h"]))
        out[t] = h
    return {"h": out}, {"h": h}
