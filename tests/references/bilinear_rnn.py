"""Bilinear RNN (Ebrahimi, Memisevic 2025, arXiv 2505.21749): h_i = sum over j, d of W_ijd h_j x_d."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("D")},
    "params": {"W": Port("N N D", "mixing")},
    "states": {"h": Port("N")},
    "outputs": {"h": Port("N")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.ones(sizes["N"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, W = inputs["x"], params["W"]
    (T, D), N = x.shape, W.shape[0]
    h, out = state["h"].copy(), np.zeros((T, N))
    for t in range(T):
        old = h.copy()
        for i in range(N):
            h[i] = sum(W[i, j, d] * old[j] * x[t, d] for j in range(N) for d in range(D))
        out[t] = h
    return {"h": out}, {"h": h}
