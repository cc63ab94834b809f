"""Log-linear attention over Gated DeltaNet (Guo et al. 2025, arXiv 2506.04761), the recurrence of section 3.

Levels as in loglinear_mamba2: every one is decayed and erased along the key, level 0 is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import trailing_zeros
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"L": 5}
SHAPES = {
    "inputs": {
        "q": Port("K"),
        "k": Port("K", "|k| = 1"),
        "v": Port("V"),
        "g": Port("", "<= 0"),
        "beta": Port("", "(0, 1)"),
        "lam": Port("5", ">= 0"),
    },
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
        for level in range(L):
            for b in range(V):
                read = decay * sum(k[t, a] * S[level, a, b] for a in range(K))
                wanted = v[t, b] if level == 0 else 0.0
                for a in range(K):
                    S[level, a, b] = decay * S[level, a, b] + inputs["beta"][t] * k[t, a] * (wanted - read)
                    o[t, b] += lam[t, level] * S[level, a, b] * q[t, a]
    return {"o": o}, {"S": S, "t": np.array(before + T)}
