"""LSTM with coupled gates (Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069), without peepholes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_f x_g x_o", "D"),
    "params": ports("U_f U_g U_o", "D D", "mixing"),
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_f"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            f, g, o = (inputs[f"x_{name}"][t, d] + into(d, old, params[f"U_{name}"]) for name in "fgo")
            c[d] = sigmoid(f) * c[d] + (1 - sigmoid(f)) * math.tanh(g)
            h[d] = sigmoid(o) * math.tanh(c[d])
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
