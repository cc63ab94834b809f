"""SCRN (Mikolov et al. 2014, arXiv 1412.7753): the fast units, sigmoids, read the new slow ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"alpha": 0.95}
SHAPES = {
    "inputs": {**ports("x_s", "M"), **ports("x_h", "D")},
    "params": {**ports("P", "M D", "mixing"), **ports("R", "D D", "mixing")},
    "states": {**ports("s", "M"), **ports("h", "D")},
    "outputs": {**ports("h", "D"), **ports("s", "M")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, D), M = inputs["x_h"].shape, inputs["x_s"].shape[1]
    s, h, fast, slow = state["s"].copy(), state["h"].copy(), np.zeros((T, D)), np.zeros((T, M))
    for t in range(T):
        for m in range(M):
            s[m] = (1 - CONSTANTS["alpha"]) * inputs["x_s"][t, m] + CONSTANTS["alpha"] * s[m]
        received = [into(d, s, params["P"]) + inputs["x_h"][t, d] + into(d, h, params["R"]) for d in range(D)]
        h = np.array([sigmoid(value) for value in received])
        fast[t], slow[t] = h, s
    return {"h": fast, "s": slow}, {"s": s, "h": h}
