"""FastGRNN (Kusupati et al. 2018, arXiv 1901.02358): one product for gate and candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("U", "D D", "mixing"), **ports("b_z b_h", "D"), **ports("zeta nu", "", "[0, 1]")},
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        shared = [inputs["x"][t, d] + into(d, h, params["U"]) for d in range(D)]
        for d in range(D):
            gate = sigmoid(shared[d] + params["b_z"][d])
            weight = float(params["zeta"]) * (1 - gate) + float(params["nu"])
            h[d] = weight * math.tanh(shared[d] + params["b_h"][d]) + gate * h[d]
        out[t] = h
    return {"h": out}, {"h": h}
