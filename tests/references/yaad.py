"""Yaad with a linear memory (Behrouz, Razaviyayn, Zhong, Mirrokni 2025, MIRAS, arXiv 2504.13173).

Where the whole error is no longer than delta the step follows the squared error, else delta times the absolute one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {
        "q": Port("K"),
        "k": Port("K"),
        "v": Port("V"),
        "alpha": Port("", "(0, 1]"),
        "eta": Port("", "> 0, small"),
        "delta": Port("", "> 0"),
    },
    "params": {},
    "states": {"W": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"W": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, alpha, eta, delta = inputs.values()
    (T, V), K = v.shape, k.shape[1]
    W, o = state["W"].copy(), np.zeros((T, V))
    for t in range(T):
        errors = [sum(W[i, j] * k[t, i] for i in range(K)) - v[t, j] for j in range(V)]
        small = math.sqrt(sum(error**2 for error in errors)) <= delta[t]
        for j, error in enumerate(errors):
            slope = 2 * error if small else delta[t] * np.sign(error)
            for i in range(K):
                W[i, j] = alpha[t] * W[i, j] - eta[t] * slope * k[t, i]
                o[t, j] += W[i, j] * q[t, i]
    return {"o": o}, {"W": W}
