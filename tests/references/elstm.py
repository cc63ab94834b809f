"""eLSTM (Irie, Gopalakrishnan, Schmidhuber 2023, arXiv 2305.19044): only the cell is carried, no tanh follows it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_f x_z x_o", "D"),
    "params": {**ports("w_f w_z", "D"), **ports("W_o", "D D", "mixing")},
    "states": ports("c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_f"].shape
    c, out = state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            forget = sigmoid(inputs["x_f"][t, d] + params["w_f"][d] * c[d])
            new = math.tanh(inputs["x_z"][t, d] + params["w_z"][d] * c[d])
            c[d] = forget * c[d] + (1 - forget) * new
        for d in range(D):
            out[t, d] = sigmoid(inputs["x_o"][t, d] + into(d, c, params["W_o"])) * c[d]
    return {"h": out}, {"c": c}
