"""Neuromodulated bistable cell (Vecoven, Ernst, Drion 2020, arXiv 2006.05252): all units set the feedback."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_a x_c x", "D"),
    "params": ports("U_a U_c", "D D", "mixing"),
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
            feedback = 1 + math.tanh(inputs["x_a"][t, d] + into(d, old, params["U_a"]))
            keep = sigmoid(inputs["x_c"][t, d] + into(d, old, params["U_c"]))
            h[d] = keep * old[d] + (1 - keep) * math.tanh(inputs["x"][t, d] + feedback * old[d])
        out[t] = h
    return {"h": out}, {"h": h}
