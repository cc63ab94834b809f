"""Jordan network (Jordan 1986, Serial order: a parallel distributed processing approach): the output is fed back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("U", "M D", "mixing"), **ports("W", "D M", "mixing"), **ports("b", "M")},
    "states": ports("y", "M"),
    "outputs": ports("y", "M"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, D), M = inputs["x"].shape, len(state["y"])
    y, out = state["y"].copy(), np.zeros((T, M))
    for t in range(T):
        hidden = [sigmoid(inputs["x"][t, d] + into(d, y, params["U"])) for d in range(D)]
        y = np.array([sigmoid(into(m, hidden, params["W"]) + params["b"][m]) for m in range(M)])
        out[t] = y
    return {"y": out}, {"y": y}
