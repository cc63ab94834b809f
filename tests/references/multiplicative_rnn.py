"""Multiplicative RNN (Sutskever, Martens, Hinton 2011, Generating text with recurrent neural networks)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {**ports("x_m", "F"), **ports("x_h", "D")},
    "params": {**ports("U_m", "D F", "mixing"), **ports("U_h", "F D", "mixing")},
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, F), D = inputs["x_m"].shape, inputs["x_h"].shape[1]
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        factors = [inputs["x_m"][t, f] * into(f, h, params["U_m"]) for f in range(F)]
        h = np.array([math.tanh(into(d, factors, params["U_h"]) + inputs["x_h"][t, d]) for d in range(D)])
        out[t] = h
    return {"h": out}, {"h": h}
