"""Block-diagonal linear RNN (Fan, Chi, Rudnicky 2024, arXiv 2309.07412).

Every block loses the means of its columns, and is divided by the largest p-norm of a column.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"p": 1.2}
SHAPES = {
    "inputs": {"A": Port("N R R"), "v": Port("N R")},
    "params": {},
    "states": {"h": Port("N R")},
    "outputs": {"h": Port("N R")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros((sizes["N"], sizes["R"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    A, v, p = inputs["A"], inputs["v"], CONSTANTS["p"]
    T, N, R = v.shape
    h, out = state["h"].copy(), np.zeros((T, N, R))
    for t in range(T):
        for n in range(N):
            M, largest, old = A[t, n].copy(), 0.0, h[n].copy()
            for j in range(R):
                M[:, j] -= sum(M[:, j]) / R
                largest = max(largest, sum(abs(M[i, j]) ** p for i in range(R)) ** (1 / p))
            for i in range(R):
                h[n, i] = sum(M[i, j] / largest * old[j] for j in range(R)) + v[t, n, i]
        out[t] = h
    return {"h": out}, {"h": h}
