"""Mogrifier LSTM (Melis, Kocisky, Blunsom 2019, arXiv 1909.01792).

Input and state gate each other by turns, the input first; the gates of the LSTM are i, f, g, o.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"odd": 3, "even": 2}
SHAPES = {
    "inputs": ports("x", "E"),
    "params": {
        **ports("Q", "odd D E", "mixing"),
        **ports("R", "even E D", "mixing"),
        **ports("W", "4 E D", "mixing"),
        **ports("U", "4 D D", "mixing"),
        **ports("b", "4 D"),
    },
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, E), D = inputs["x"].shape, len(state["h"])
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        x, m = list(inputs["x"][t]), list(h)
        for number in range(1, int(CONSTANTS["odd"] + CONSTANTS["even"]) + 1):
            if number % 2 == 1:
                x = [2 * sigmoid(into(e, m, params["Q"][number // 2])) * x[e] for e in range(E)]
            else:
                m = [2 * sigmoid(into(d, x, params["R"][number // 2 - 1])) * m[d] for d in range(D)]
        for d in range(D):
            i, f, g, o = (into(d, x, params["W"][j]) + into(d, m, params["U"][j]) + params["b"][j, d] for j in range(4))
            c[d] = sigmoid(f) * c[d] + sigmoid(i) * math.tanh(g)
            h[d] = sigmoid(o) * math.tanh(c[d])
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
