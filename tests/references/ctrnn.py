"""CTRNN (Beer 1995, On the dynamics of small continuous-time recurrent neural networks), Euler."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"dt": 0.1}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("W", "D D", "mixing"), **ports("theta", "D"), **ports("tau", "D", ">= 1")},
    "states": ports("y", "D"),
    "outputs": ports("y", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    y, out = state["y"].copy(), np.zeros((T, D))
    for t in range(T):
        rates = [sigmoid(y[d] + params["theta"][d]) for d in range(D)]
        for d in range(D):
            slope = -y[d] + into(d, rates, params["W"]) + inputs["x"][t, d]
            y[d] += CONSTANTS["dt"] / params["tau"][d] * slope
        out[t] = y
    return {"y": out}, {"y": y}
