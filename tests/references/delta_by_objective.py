"""Gated DeltaNet as online learning (Yang, Kautz, Hatamizadeh 2024, arXiv 2412.06464).

One gradient step of size beta on L(S) = 0.5 |S^T k - v|^2, taken at the decayed memory: dL/dS[a, b] is k[a] times the
error of the recalled v[b].
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
        "beta": Port("", "(0, 1)"),
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
    (T, V), K = v.shape, k.shape[1]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        for b in range(V):
            error = -v[t, b]
            for a in range(K):
                S[a, b] = math.exp(inputs["g"][t]) * S[a, b]
                error += S[a, b] * k[t, a]
            for a in range(K):
                S[a, b] -= beta[t] * k[t, a] * error
                o[t, b] += q[t, a] * S[a, b]
    return {"o": o}, {"S": S}
