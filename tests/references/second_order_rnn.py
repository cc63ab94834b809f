"""Second-order network (Giles et al. 1992, Learning and extracting finite state automata)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "E"),
    "params": ports("W", "D E D"),
    "states": ports("s", "D"),
    "outputs": ports("s", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, E), D = inputs["x"].shape, len(state["s"])
    s, out = state["s"].copy(), np.zeros((T, D))
    for t in range(T):
        old = s.copy()
        for j in range(D):
            pairs = [(i, k) for i in range(D) for k in range(E)]
            s[j] = sigmoid(sum(params["W"][i, k, j] * old[i] * inputs["x"][t, k] for i, k in pairs))
        out[t] = s
    return {"s": out}, {"s": s}
