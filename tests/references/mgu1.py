"""MGU1 (Heck, Salem 2017, arXiv 1701.03452): the gate sees state and bias."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_h", "D"),
    "params": {**ports("U_f", "D D", "mixing"), **ports("b_f", "D"), **ports("U_h", "D D", "mixing")},
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_h"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        gate = [sigmoid(into(d, h, params["U_f"]) + params["b_f"][d]) for d in range(D)]
        kept = [gate[d] * h[d] for d in range(D)]
        for d in range(D):
            h[d] = (1 - gate[d]) * h[d] + gate[d] * math.tanh(inputs["x_h"][t, d] + into(d, kept, params["U_h"]))
        out[t] = h
    return {"h": out}, {"h": h}
