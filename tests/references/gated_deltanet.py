"""Gated DeltaNet (Yang, Kautz, Hatamizadeh 2024, arXiv 2412.06464), equation (10).

S_t = alpha (I - beta k k^T) S_{t-1} + beta k v^T with alpha = exp(g); the paper writes the transpose of S.
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
        "k": Port("K", "|k| = 1"),
        "v": Port("V"),
        "g": Port("", "<= 0"),
        "beta": Port("", "(0, 1)"),
    },
    "params": {},
    "states": {"S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    (T, V), K = v.shape, k.shape[1]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        alpha, before = math.exp(inputs["g"][t]), S.copy()
        for a in range(K):
            for b in range(V):
                S[a, b] = beta[t] * k[t, a] * v[t, b]
                for c in range(K):
                    S[a, b] += alpha * (float(a == c) - beta[t] * k[t, a] * k[t, c]) * before[c, b]
                o[t, b] += q[t, a] * S[a, b]
    return {"o": o}, {"S": S}
