"""RWKV-7 (Peng et al. 2025, arXiv 2503.14456), transposed: decay and erase both read the old state."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {
        "r": Port("K"),
        "w": Port("K", "<= 0"),
        "k": Port("K"),
        "v": Port("V"),
        "a": Port("K", "|k| = 1"),
        "b": Port("K", "|k| <= 1"),
    },
    "params": {},
    "states": {"S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    r, w, k, v, a, b = (inputs[name] for name in ("r", "w", "k", "v", "a", "b"))
    (T, V), K = v.shape, k.shape[1]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        for j in range(V):
            read = sum(S[i, j] * a[t, i] for i in range(K))
            for i in range(K):
                S[i, j] = math.exp(w[t, i]) * S[i, j] + b[t, i] * read + k[t, i] * v[t, j]
                o[t, j] += S[i, j] * r[t, i]
    return {"o": o}, {"S": S}
