"""Longhorn, the exact implicit step (Liu et al. 2024, arXiv 2407.14207): one delta rule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V"), "dt": Port()},
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
        beta = sigmoid(inputs["dt"][t])
        rate = beta / (1 + beta * sum(k[t, a] ** 2 for a in range(K)))
        for b in range(V):
            recalled = sum(S[a, b] * k[t, a] for a in range(K))
            for a in range(K):
                S[a, b] += rate * k[t, a] * (v[t, b] - recalled)
                o[t, b] += S[a, b] * q[t, a]
    return {"o": o}, {"S": S}
