"""coRNN (Rusch, Mishra 2020, arXiv 2010.00951) as in the published code: the damping is explicit."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"dt": 0.1, "gamma": 1.0, "eps": 1.0}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": ports("W_y W_z", "D D", "mixing"),
    "states": ports("y z", "D"),
    "outputs": ports("y", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    y, z, out = state["y"].copy(), state["z"].copy(), np.zeros((T, D))
    for t in range(T):
        received = [into(d, y, params["W_y"]) + into(d, z, params["W_z"]) + inputs["x"][t, d] for d in range(D)]
        for d in range(D):
            force = math.tanh(received[d]) - CONSTANTS["gamma"] * y[d] - CONSTANTS["eps"] * z[d]
            z[d] = z[d] + CONSTANTS["dt"] * force
            y[d] = y[d] + CONSTANTS["dt"] * z[d]
        out[t] = y
    return {"y": out}, {"y": y, "z": z}
