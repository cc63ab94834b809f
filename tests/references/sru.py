"""SRU, the first version (Lei, Zhang, Artzi 2017, Training RNNs as fast as CNNs, arXiv 1709.02755v1), with tanh."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x z f r", "D"),
    "params": {},
    "states": ports("c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    c, out = state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            keep, reset = sigmoid(inputs["f"][t, d]), sigmoid(inputs["r"][t, d])
            c[d] = keep * c[d] + (1 - keep) * inputs["z"][t, d]
            out[t, d] = reset * math.tanh(c[d]) + (1 - reset) * inputs["x"][t, d]
    return {"h": out}, {"c": c}
