"""Bistable recurrent cell (Vecoven, Ernst, Drion 2020, arXiv 2006.05252): feedback of 0 to 2 from a unit to itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_a x_c x", "D"),
    "params": ports("w_a w_c", "D"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            feedback = 1 + math.tanh(inputs["x_a"][t, d] + params["w_a"][d] * h[d])
            keep = sigmoid(inputs["x_c"][t, d] + params["w_c"][d] * h[d])
            h[d] = keep * h[d] + (1 - keep) * math.tanh(inputs["x"][t, d] + feedback * h[d])
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
