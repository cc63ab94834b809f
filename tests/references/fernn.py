"""FERNN (Keller 2025, arXiv 2507.14793) over one circular axis, with the velocities -1, 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import relu
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"n": 3}
SHAPES = {
    "inputs": ports("u", "C X"),
    "params": ports("W", "C C R"),
    "states": ports("h", "n C X"),
    "outputs": {**ports("h", "n C X"), **ports("y", "C X")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, C, X), n, R = inputs["u"].shape, len(state["h"]), params["W"].shape[2]
    h, hidden, pooled = state["h"].copy(), np.zeros((T, n, C, X)), np.zeros((T, C, X))
    for t in range(T):
        old = h.copy()
        for v in range(n):
            for o in range(C):
                for x in range(X):
                    total = inputs["u"][t, o, x]
                    for i in range(C):
                        for tap in range(R):
                            place = x + tap - R // 2 - (v - n // 2)
                            total += params["W"][o, i, tap] * old[v, i, place % X]
                    h[v, o, x] = relu(total)
        hidden[t], pooled[t] = h, h.max(axis=0)
    return {"h": hidden, "y": pooled}, {"h": h}
