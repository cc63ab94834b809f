"""ConvLSTM (Shi et al. 2015, arXiv 1506.04214) over one axis, without peepholes; zeros lie beyond both ends."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Array, Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_i x_f x_g x_o", "C X"),
    "params": ports("W_i W_f W_g W_o", "C C R"),
    "states": ports("h c", "C X"),
    "outputs": ports("h", "C X"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def correlate(W: Array, h: Array, o: int, x: int) -> float:
    """The cross-correlation at channel `o` and place `x`; `W` is (out, in, tap), its middle tap is the place itself."""
    channels, places = h.shape
    total = 0.0
    for i in range(channels):
        for tap in range(W.shape[2]):
            place = x + tap - W.shape[2] // 2
            if 0 <= place < places:
                total += W[o, i, tap] * h[i, place]
    return total


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, C, X = inputs["x_i"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, C, X))
    for t in range(T):
        old = h.copy()
        for o in range(C):
            for x in range(X):
                a = {k: inputs[f"x_{k}"][t, o, x] + correlate(params[f"W_{k}"], old, o, x) for k in "ifgo"}
                c[o, x] = sigmoid(a["f"]) * c[o, x] + sigmoid(a["i"]) * math.tanh(a["g"])
                h[o, x] = sigmoid(a["o"]) * math.tanh(c[o, x])
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
