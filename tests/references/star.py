"""STAR (Turkoglu, D'Aronco, Wegner, Schindler 2019, Gating revisited, arXiv 1911.11033)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_k x_z", "D"),
    "params": ports("U_k", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_k"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        gate = [sigmoid(inputs["x_k"][t, d] + into(d, h, params["U_k"])) for d in range(D)]
        for d in range(D):
            h[d] = math.tanh((1 - gate[d]) * h[d] + gate[d] * math.tanh(inputs["x_z"][t, d]))
        out[t] = h
    return {"h": out}, {"h": h}
