"""SLiCE with dense matrices (Walker et al. 2025, arXiv 2505.17761): dh = sum over d of A_d h dw_d, by Euler steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"w": Port("D", "small")},
    "params": {"A": Port("D N N")},
    "states": {"h": Port("N")},
    "outputs": {"h": Port("N")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.ones(sizes["N"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    w, A = inputs["w"], params["A"]
    (T, D), N = w.shape, A.shape[1]
    h, out = state["h"].copy(), np.zeros((T, N))
    for t in range(T):
        old = h.copy()
        for i in range(N):
            h[i] += sum(w[t, d] * A[d, i, j] * old[j] for d in range(D) for j in range(N))
        out[t] = h
    return {"h": out}, {"h": h}
