"""AntisymmetricRNN with a gate (Chang, Chen, Haber, Chi 2019, arXiv 1902.09689): one matrix for both."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"eps": 0.1, "gamma": 0.01}
SHAPES = {
    "inputs": ports("x_h x_z", "D"),
    "params": ports("W", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_h"].shape
    h, out, W = state["h"].copy(), np.zeros((T, D)), params["W"]
    for t in range(T):
        old = h.copy()
        for d in range(D):
            turned = sum(old[a] * (W[a, d] - W[d, a]) for a in range(D)) - CONSTANTS["gamma"] * old[d]
            gate = sigmoid(turned + inputs["x_z"][t, d])
            h[d] = old[d] + CONSTANTS["eps"] * gate * math.tanh(turned + inputs["x_h"][t, d])
        out[t] = h
    return {"h": out}, {"h": h}
