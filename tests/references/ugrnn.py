"""UGRNN (Collins, Sohl-Dickstein, Sussillo 2016, Capacity and trainability of RNNs, arXiv 1611.09913)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_c x_g", "D"),
    "params": ports("U_c U_g", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_c"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            new = math.tanh(inputs["x_c"][t, d] + into(d, old, params["U_c"]))
            keep = sigmoid(inputs["x_g"][t, d] + into(d, old, params["U_g"]))
            h[d] = keep * old[d] + (1 - keep) * new
        out[t] = h
    return {"h": out}, {"h": h}
