"""Lightning Attention-2 (Qin, Sun, Li, Shen, Sun, Zhong 2024, arXiv 2401.04658): a fixed decay."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V")},
    "params": {"slope": Port("", ">= 0")},
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
        for a in range(K):
            for b in range(V):
                S[a, b] = math.exp(-params["slope"]) * S[a, b] + k[t, a] * v[t, b]
                o[t, b] += S[a, b] * q[t, a]
    return {"o": o}, {"S": S}
