"""ParaGRU (Danieli et al. 2025, ParaRNN, arXiv 2510.21450): the update gate weighs the new candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_z x_r x_h", "D"),
    "params": ports("a_z a_r a_h", "D"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_z"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            update = sigmoid(params["a_z"][d] * h[d] + inputs["x_z"][t, d])
            reset = sigmoid(params["a_r"][d] * h[d] + inputs["x_r"][t, d])
            new = math.tanh(params["a_h"][d] * reset * h[d] + inputs["x_h"][t, d])
            h[d] = (1 - update) * h[d] + update * new
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
