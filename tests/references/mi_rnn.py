"""RNN with multiplicative integration (Wu, Zhang, Zhang, Bengio, Salakhutdinov 2016, arXiv 1606.06630)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("U", "D D", "mixing"), **ports("alpha beta_1 beta_2 b", "D")},
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
            x, u = inputs["x"][t, d], into(d, old, params["U"])
            products = params["alpha"][d] * x * u + params["beta_1"][d] * u + params["beta_2"][d] * x
            h[d] = math.tanh(products + params["b"][d])
        out[t] = h
    return {"h": out}, {"h": h}
