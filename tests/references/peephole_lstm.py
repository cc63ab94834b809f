"""LSTM with peepholes (Gers, Schmidhuber 2000), equations (7) to (11) of Graves 2013 (arXiv 1308.0850)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_i x_f x_g x_o", "D"),
    "params": {**ports("U_i U_f U_g U_o", "D D", "mixing"), **ports("w_i w_f w_o", "D")},
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_i"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            from_h = {gate: inputs[f"x_{gate}"][t, d] + into(d, old, params[f"U_{gate}"]) for gate in "ifgo"}
            write = sigmoid(from_h["i"] + params["w_i"][d] * c[d])
            keep = sigmoid(from_h["f"] + params["w_f"][d] * c[d])
            c[d] = keep * c[d] + write * math.tanh(from_h["g"])
            h[d] = sigmoid(from_h["o"] + params["w_o"][d] * c[d]) * math.tanh(c[d])
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
