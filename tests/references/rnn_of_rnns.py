"""RNN of RNNs (Kozachkov, Ennis, Slotine 2021, arXiv 2106.08928), Euler; the coupling is antisymmetric in metric m."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"dt": 0.1, "tau": 1.0}
SHAPES = {
    "inputs": ports("u", "D"),
    "params": {**ports("W C", "D D", "mixing"), **ports("m", "D", "> 0")},
    "states": ports("x", "D"),
    "outputs": ports("x", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["u"].shape
    x, out, C, m = state["x"].copy(), np.zeros((T, D)), params["C"], params["m"]
    coupling = np.array([[C[a, b] - m[a] * C[b, a] / m[b] for b in range(D)] for a in range(D)])
    for t in range(T):
        sent = [math.tanh(value) for value in x]
        slope = [into(d, sent, params["W"]) + into(d, x, coupling) + inputs["u"][t, d] - x[d] for d in range(D)]
        for d in range(D):
            x[d] += CONSTANTS["dt"] / CONSTANTS["tau"] * slope[d]
        out[t] = x
    return {"x": out}, {"x": x}
