"""GRU (Cho et al. 2014, arXiv 1406.1078; Chung et al. 2014, arXiv 1412.3555), as in the latter.

The reset gate acts on the state before the recurrent product, the update gate weighs the new candidate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_z x_r x_h", "D"),
    "params": ports("U_z U_r U_h", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_z"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        update = [sigmoid(inputs["x_z"][t, d] + into(d, h, params["U_z"])) for d in range(D)]
        kept = [h[d] * sigmoid(inputs["x_r"][t, d] + into(d, h, params["U_r"])) for d in range(D)]
        for d in range(D):
            new = math.tanh(inputs["x_h"][t, d] + into(d, kept, params["U_h"]))
            h[d] = (1 - update[d]) * h[d] + update[d] * new
        out[t] = h
    return {"h": out}, {"h": h}
