"""SLiCE with block-diagonal matrices (Walker et al. 2025, arXiv 2505.17761): `A` is the step's weighted increments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"A": Port("N R R", "small")},
    "params": {},
    "states": {"h": Port("N R")},
    "outputs": {"h": Port("N R")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.ones((sizes["N"], sizes["R"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    A = inputs["A"]
    T, N, R = A.shape[:3]
    h, out = state["h"].copy(), np.zeros((T, N, R))
    for t in range(T):
        for n in range(N):
            old = h[n].copy()
            for i in range(R):
                h[n, i] += sum(A[t, n, i, j] * old[j] for j in range(R))
        out[t] = h
    return {"h": out}, {"h": h}
