"""Firing-rate network (Dayan, Abbott 2001, Theoretical Neuroscience, chapter 7), Euler, rectified."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, relu
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"dt": 1.0}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("W", "D D", "mixing"), **ports("tau", "D", ">= 1")},
    "states": ports("r", "D"),
    "outputs": ports("r", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    r, out = state["r"].copy(), np.zeros((T, D))
    for t in range(T):
        drive = [relu(into(d, r, params["W"]) + inputs["x"][t, d]) for d in range(D)]
        for d in range(D):
            r[d] += CONSTANTS["dt"] / params["tau"][d] * (drive[d] - r[d])
        out[t] = r
    return {"r": out}, {"r": r}
