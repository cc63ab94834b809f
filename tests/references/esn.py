"""Echo-state network (Jaeger 2001) of leaky units (Jaeger, Lukosevicius, Popovici, Siewert 2007)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"leak": 0.3}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {**ports("W", "D D", "norm < 1"), **ports("b", "D")},
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out, leak = state["h"].copy(), np.zeros((T, D)), CONSTANTS["leak"]
    for t in range(T):
        new = [math.tanh(inputs["x"][t, d] + into(d, h, params["W"]) + params["b"][d]) for d in range(D)]
        for d in range(D):
            h[d] = (1 - leak) * h[d] + leak * new[d]
        out[t] = h
    return {"h": out}, {"h": h}
