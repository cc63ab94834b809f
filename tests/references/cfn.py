"""CFN (Laurent, von Brecht 2016, A recurrent neural network without chaos, arXiv 1612.06212)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_theta x_eta x", "D"),
    "params": ports("U_theta U_eta", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            forget = sigmoid(into(d, old, params["U_theta"]) + inputs["x_theta"][t, d])
            write = sigmoid(into(d, old, params["U_eta"]) + inputs["x_eta"][t, d])
            h[d] = forget * math.tanh(old[d]) + write * math.tanh(inputs["x"][t, d])
        out[t] = h
    return {"h": out}, {"h": h}
