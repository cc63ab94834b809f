"""MUT1 (Jozefowicz, Zaremba, Sutskever 2015, An empirical exploration of recurrent network architectures)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_z x_r x_h", "D"),
    "params": ports("U_r U_h", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_z"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        kept = [h[d] * sigmoid(inputs["x_r"][t, d] + into(d, h, params["U_r"])) for d in range(D)]
        for d in range(D):
            update = sigmoid(inputs["x_z"][t, d])
            new = math.tanh(into(d, kept, params["U_h"]) + math.tanh(inputs["x_h"][t, d]))
            h[d] = new * update + h[d] * (1 - update)
        out[t] = h
    return {"h": out}, {"h": h}
