"""Kimi Delta Attention (Kimi Team 2025, arXiv 2510.26692): the decay comes before the erase."""

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
        "gk": Port("K", "<= 0"),
        "beta": Port("", "(0, 1)"),
    },
    "params": {},
    "states": {"S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        rate = inputs["beta"][t]
        for b in range(V):
            for a in range(K):
                S[a, b] *= math.exp(inputs["gk"][t, a])
            recalled = sum(S[a, b] * k[t, a] for a in range(K))
            for a in range(K):
                S[a, b] += rate * k[t, a] * (v[t, b] - recalled)
                o[t, b] += S[a, b] * q[t, a]
    return {"o": o}, {"S": S}
