"""FastRNN (Kusupati et al. 2018, arXiv 1901.02358), with tanh."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("U", "D D", "mixing"), **ports("alpha beta", "", "(0, 1)")},
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        new = [math.tanh(inputs["x"][t, d] + into(d, h, params["U"])) for d in range(D)]
        for d in range(D):
            h[d] = float(params["alpha"]) * new[d] + float(params["beta"]) * h[d]
        out[t] = h
    return {"h": out}, {"h": h}
