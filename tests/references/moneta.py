"""Moneta with a linear memory (Behrouz, Razaviyayn, Zhong, Mirrokni 2025, MIRAS, arXiv 2504.13173).

The gradient of sum |W^T k - v|^p, with the exact sign, is taken at W, the memory A over the (r - 2)th power of its
r-norm. r is the paper's q.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Array, Arrays, Port

CONSTANTS: dict[str, float] = {"p": 3, "r": 4}
SHAPES = {
    "inputs": {
        "q": Port("K"),
        "k": Port("K"),
        "v": Port("V"),
        "alpha": Port("", "(0, 1]"),
        "eta": Port("", "> 0, small"),
    },
    "params": {"A0": Port("K V")},
    "states": {"A": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"A": params["A0"].copy()}


def normalised(A: Array, r: float) -> Array:
    norm = sum(abs(a) ** r for a in A.ravel()) ** (1 / r)
    return A / norm ** (r - 2)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, alpha, eta = inputs.values()
    p, r = CONSTANTS["p"], CONSTANTS["r"]
    (T, V), K = v.shape, k.shape[1]
    A, o = state["A"].copy(), np.zeros((T, V))
    for t in range(T):
        W = normalised(A, r)
        for j in range(V):
            error = sum(W[i, j] * k[t, i] for i in range(K)) - v[t, j]
            slope = p * np.sign(error) * abs(error) ** (p - 1)
            for i in range(K):
                A[i, j] = alpha[t] * A[i, j] - eta[t] * slope * k[t, i]
        o[t] = normalised(A, r).T @ q[t]
    return {"o": o}, {"A": A}
