"""Soft window of Graves 2013 (arXiv 1308.0850), equations (46) to (51); positions count from 1."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("a b k", "M"),
    "params": ports("c", "L E"),
    "states": ports("kappa", "M"),
    "outputs": {**ports("w", "E"), **ports("phi", "L")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, M), (L, E) = inputs["k"].shape, params["c"].shape
    kappa, window, weights = state["kappa"].copy(), np.zeros((T, E)), np.zeros((T, L))
    for t in range(T):
        for m in range(M):
            kappa[m] += math.exp(inputs["k"][t, m])
            height, width = math.exp(inputs["a"][t, m]), math.exp(inputs["b"][t, m])
            for u in range(1, L + 1):
                weights[t, u - 1] += height * math.exp(-width * (kappa[m] - u) ** 2)
        for e in range(E):
            window[t, e] = into(e, weights[t], params["c"])
    return {"w": window, "phi": weights}, {"kappa": kappa}
