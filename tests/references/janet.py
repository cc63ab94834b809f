"""JANET (van der Westhuizen, Lasenby 2018, The unreasonable effectiveness of the forget gate, arXiv 1804.04849)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"beta": 1.0}
SHAPES = {
    "inputs": ports("x_f x_c", "D"),
    "params": ports("U_f U_c", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_f"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            s = inputs["x_f"][t, d] + into(d, old, params["U_f"])
            new = math.tanh(inputs["x_c"][t, d] + into(d, old, params["U_c"]))
            h[d] = sigmoid(s) * old[d] + (1 - sigmoid(s - CONSTANTS["beta"])) * new
        out[t] = h
    return {"h": out}, {"h": h}
