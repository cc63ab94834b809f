"""LSTM with working memory connections (Landi, Baraldi, Cornia, Cucchiara 2021, arXiv 2109.00020).

The input and forget gates read the old cell, the output gate the new one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_i x_f x_g x_o", "D"),
    "params": ports("U_i U_f U_g U_o V_i V_f V_o", "D D", "mixing"),
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_i"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        a = {name: [inputs[f"x_{name}"][t, d] + into(d, h, params[f"U_{name}"]) for d in range(D)] for name in "ifgo"}
        write = [sigmoid(a["i"][d] + math.tanh(into(d, c, params["V_i"]))) for d in range(D)]
        keep = [sigmoid(a["f"][d] + math.tanh(into(d, c, params["V_f"]))) for d in range(D)]
        for d in range(D):
            c[d] = keep[d] * c[d] + write[d] * math.tanh(a["g"][d])
        for d in range(D):
            h[d] = sigmoid(a["o"][d] + math.tanh(into(d, c, params["V_o"]))) * math.tanh(c[d])
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
