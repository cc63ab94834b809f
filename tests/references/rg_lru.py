"""Real-Gated Linear Recurrent Unit (De et al. 2024, Griffin, arXiv 2402.19427), equations (1) to (4).

The paper's Lambda, with a = sigmoid(Lambda), is -lam here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"c": 8.0}
SHAPES = {
    "inputs": {"x": Port("D"), "r": Port("D"), "i": Port("D")},
    "params": {"lam": Port("D")},
    "states": {"h": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            r, i = sigmoid(inputs["r"][t, d]), sigmoid(inputs["i"][t, d])
            a = sigmoid(-params["lam"][d]) ** (CONSTANTS["c"] * r)
            h[d] = a * h[d] + math.sqrt(1 - a**2) * (i * inputs["x"][t, d])
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
