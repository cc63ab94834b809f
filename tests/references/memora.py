"""Memora with a linear memory (Behrouz, Razaviyayn, Zhong, Mirrokni 2025, MIRAS, arXiv 2504.13173).

W_t = softmax(alpha_t log W_(t-1) - eta_t times the gradient of |W^T k - v|^2 with respect to W), for each value channel
over the keys. The state is what stands in the softmax; log W differs from it by a shift that softmax removes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Array, Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {
        "q": Port("K"),
        "k": Port("K"),
        "v": Port("V"),
        "alpha": Port("", "(0, 1]"),
        "eta": Port("", "> 0, small"),
    },
    "params": {},
    "states": {"L": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"L": np.zeros((sizes["K"], sizes["V"]))}


def simplex(column: Array) -> Array:
    weights = [math.exp(x - max(column)) for x in column]
    return np.array(weights) / sum(weights)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, alpha, eta = inputs.values()
    (T, V), K = v.shape, k.shape[1]
    L, o = state["L"].copy(), np.zeros((T, V))
    for t in range(T):
        for j in range(V):
            weights = simplex(L[:, j])
            error = sum(weights[i] * k[t, i] for i in range(K)) - v[t, j]
            for i in range(K):
                L[i, j] = alpha[t] * L[i, j] - eta[t] * 2 * error * k[t, i]
            o[t, j] = simplex(L[:, j]) @ q[t]
    return {"o": o}, {"L": L}
