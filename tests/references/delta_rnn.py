"""Delta-RNN (Ororbia, Mikolov, Reitter 2017, Differential state framework, arXiv 1703.08864)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("V", "D D", "mixing"), **ports("alpha beta_1 beta_2 b b_r", "D")},
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
            x, u = inputs["x"][t, d], into(d, old, params["V"])
            second = params["alpha"][d] * u * x
            first = params["beta_1"][d] * u + params["beta_2"][d] * x
            new = math.tanh(second + first + params["b"][d])
            keep = sigmoid(x + params["b_r"][d])
            h[d] = math.tanh((1 - keep) * new + keep * old[d])
        out[t] = h
    return {"h": out}, {"h": h}
