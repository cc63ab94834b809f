"""Gated DeltaProduct (Siems et al. 2025, arXiv 2502.10297): decay once, then n delta-rule steps, j = 0 first."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"n": 2}
SHAPES = {
    "inputs": {
        "q": Port("K"),
        "k": Port("n K", "|k| = 1"),
        "v": Port("n V"),
        "beta": Port("n", "(0, 2)"),
        "g": Port("", "<= 0"),
    },
    "params": {},
    "states": {"S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
    (T, steps, K), V = k.shape, v.shape[2]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        for a in range(K):
            for b in range(V):
                S[a, b] = math.exp(inputs["g"][t]) * S[a, b]
        for j in range(steps):
            before = S.copy()
            for a in range(K):
                for b in range(V):
                    S[a, b] = beta[t, j] * k[t, j, a] * v[t, j, b]
                    for c in range(K):
                        S[a, b] += (float(a == c) - beta[t, j] * k[t, j, a] * k[t, j, c]) * before[c, b]
        for a in range(K):
            for b in range(V):
                o[t, b] += q[t, a] * S[a, b]
    return {"o": o}, {"S": S}
