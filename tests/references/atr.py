"""ATR (Zhang et al. 2018, arXiv 1810.12546): the sum of input and history opens one gate, their difference another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("p", "D"),
    "params": ports("U", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["p"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        history = [into(d, h, params["U"]) for d in range(D)]
        for d in range(D):
            now = inputs["p"][t, d]
            h[d] = sigmoid(now + history[d]) * now + sigmoid(now - history[d]) * h[d]
        out[t] = h
    return {"h": out}, {"h": h}
