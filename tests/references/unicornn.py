"""UnICORNN (Rusch, Mishra 2021, arXiv 2103.05487): symplectic Euler, positions follow the new velocities."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"dt": 0.1, "alpha": 1.0}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": ports("w c", "D"),
    "states": ports("y z", "D"),
    "outputs": ports("y", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    y, z, out = state["y"].copy(), state["z"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            step = CONSTANTS["dt"] * sigmoid(params["c"][d])
            force = math.tanh(params["w"][d] * y[d] + inputs["x"][t, d]) + CONSTANTS["alpha"] * y[d]
            z[d] = z[d] - step * force
            y[d] = y[d] + step * z[d]
            out[t, d] = y[d]
    return {"y": out}, {"y": y, "z": z}
