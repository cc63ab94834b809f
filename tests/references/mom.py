"""Mixture of memories (Du, Sun, Lan, Hu, Cheng 2025, arXiv 2502.13685): a gated delta rule in each selected memory."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {
        "q": Port("K"),
        "k": Port("M K", "|k| = 1"),
        "v": Port("M V"),
        "g": Port("M", "<= 0"),
        "beta": Port("M", "(0, 1)"),
        "w": Port("M", "routing"),
    },
    "params": {},
    "states": {"S": Port("M K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["M"], sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, g, beta, w = (inputs[name] for name in ("q", "k", "v", "g", "beta", "w"))
    (T, M, V), K = v.shape, q.shape[1]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        for m in range(M):
            if w[t, m] == 0:
                continue
            for b in range(V):
                for a in range(K):
                    S[m, a, b] *= math.exp(g[t, m])
                recalled = sum(S[m, a, b] * k[t, m, a] for a in range(K))
                for a in range(K):
                    S[m, a, b] += beta[t, m] * k[t, m, a] * (v[t, m, b] - recalled)
                    o[t, b] += w[t, m] * S[m, a, b] * q[t, a]
    return {"o": o}, {"S": S}
