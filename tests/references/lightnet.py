"""LightNet (Qin et al. 2024, arXiv 2405.21022), causal: additive gates, normalised as in an online softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V")},
    "params": {},
    "states": {"S": Port("K V"), "z": Port("K")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"])), "z": np.full(sizes["K"], -np.inf)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    S, z, o = state["S"].copy(), state["z"].copy(), np.zeros((T, V))
    for t in range(T):
        for a in range(K):
            top = max(z[a], k[t, a])
            z_old, z[a] = z[a], top + math.log(math.exp(z[a] - top) + math.exp(k[t, a] - top))
            for b in range(V):
                S[a, b] = math.exp(z_old - z[a]) * S[a, b] + math.exp(k[t, a] - z[a]) * v[t, b]
                o[t, b] += S[a, b] * q[t, a]
    return {"o": o}, {"S": S, "z": z}
