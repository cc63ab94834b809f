"""Recurrent weighted average (Ostmeyer, Cowell 2017, arXiv 1703.01253), with its largest exponent so far taken out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("u x_g x_a", "D"),
    "params": ports("U_g U_a", "D D", "mixing"),
    "states": ports("h n d m", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {**zeros(SHAPES["states"], sizes), "m": np.full(sizes["D"], -np.inf)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["u"].shape
    h, n, d, m = (state[name].copy() for name in "hndm")
    out = np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for j in range(D):
            value = inputs["u"][t, j] * math.tanh(inputs["x_g"][t, j] + into(j, old, params["U_g"]))
            weight = inputs["x_a"][t, j] + into(j, old, params["U_a"])
            largest = max(m[j], weight)
            n[j] = n[j] * math.exp(m[j] - largest) + value * math.exp(weight - largest)
            d[j] = d[j] * math.exp(m[j] - largest) + math.exp(weight - largest)
            m[j] = largest
            h[j] = math.tanh(n[j] / d[j])
        out[t] = h
    return {"h": out}, {"h": h, "n": n, "d": d, "m": m}
