"""IndyLSTM (Gonnet, Deselaers 2019, arXiv 1903.08023): an LSTM for every unit by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_i x_f x_g x_o", "D"),
    "params": ports("u_i u_f u_g u_o", "D"),
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_i"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            i, f, g, o = (inputs[f"x_{name}"][t, d] + params[f"u_{name}"][d] * h[d] for name in "ifgo")
            c[d] = sigmoid(f) * c[d] + sigmoid(i) * math.tanh(g)
            h[d] = sigmoid(o) * math.tanh(c[d])
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
