"""Log-linear attention over Mamba-2 (Guo et al. 2025, arXiv 2506.04761), the recurrence of section 3.

The levels of a Fenwick tree: before token t, with z trailing zero bits, levels 0 to z are merged into level z + 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import trailing_zeros
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"L": 5}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V"), "g": Port("", "<= 0"), "lam": Port("5", ">= 0")},
    "params": {},
    "states": {"S": Port("5 K V"), "t": Port("", "whole")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((5, sizes["K"], sizes["V"])), "t": np.array(0.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, lam = inputs["q"], inputs["k"], inputs["v"], inputs["lam"]
    (T, V), K, L = v.shape, k.shape[1], lam.shape[1]
    S, before, o = state["S"].copy(), float(state["t"]), np.zeros((T, V))
    for t in range(T):
        number = round(before) + t
        if number > 0:
            top = min(trailing_zeros(number) + 1, L - 1)
            for level in range(top):
                S[top] += S[level]
                S[level] = 0
        decay = math.exp(inputs["g"][t])
        for a in range(K):
            for b in range(V):
                for level in range(L):
                    S[level, a, b] = decay * S[level, a, b] + (k[t, a] * v[t, b] if level == 0 else 0.0)
                    o[t, b] += lam[t, level] * S[level, a, b] * q[t, a]
    return {"o": o}, {"S": S, "t": np.array(before + T)}
