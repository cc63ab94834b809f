"""Multiplicative LSTM (Krause, Lu, Murray, Renals 2016, arXiv 1609.07959): the gates read the factors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {**ports("x_m", "F"), **ports("x_h x_i x_o x_f", "D")},
    "params": {**ports("U_m", "D F", "mixing"), **ports("U_h U_i U_o U_f", "F D", "mixing")},
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, F), D = inputs["x_m"].shape, inputs["x_h"].shape[1]
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        factors = [inputs["x_m"][t, f] * into(f, h, params["U_m"]) for f in range(F)]
        for d in range(D):
            a = {name: inputs[f"x_{name}"][t, d] + into(d, factors, params[f"U_{name}"]) for name in "hiof"}
            c[d] = sigmoid(a["f"]) * c[d] + sigmoid(a["i"]) * math.tanh(a["h"])
            h[d] = math.tanh(c[d]) * sigmoid(a["o"])
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
