"""scoRNN (Helfrich, Willmott, Ye 2017, arXiv 1707.09520): a scaled Cayley transform keeps the matrix orthogonal.

`W = (I + A)^-1 (I - A) D` acts on columns; modReLU keeps the sign and shifts the size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import relu
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("M", "D D", "mixing"), **ports("signs b", "D")},
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    skew = params["M"] - params["M"].T
    W = np.linalg.inv(np.eye(D) + skew) @ (np.eye(D) - skew) @ np.diag(params["signs"])
    for t in range(T):
        received = [inputs["x"][t, d] + sum(W[d, a] * h[a] for a in range(D)) for d in range(D)]
        for d in range(D):
            h[d] = math.copysign(1.0, received[d]) * relu(abs(received[d]) + params["b"][d])
        out[t] = h
    return {"h": out}, {"h": h}
