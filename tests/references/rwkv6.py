"""RWKV-6 (Peng et al. 2024, arXiv 2404.05892): the readout comes before the update."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"r": Port("K"), "k": Port("K"), "v": Port("V"), "w": Port("K", "<= 0")},
    "params": {"u": Port("K")},
    "states": {"S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    r, k, v, w = (inputs[name] for name in ("r", "k", "v", "w"))
    (T, V), K = v.shape, k.shape[1]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        for a in range(K):
            for b in range(V):
                written = k[t, a] * v[t, b]
                o[t, b] += r[t, a] * (S[a, b] + params["u"][a] * written)
                S[a, b] = math.exp(w[t, a]) * S[a, b] + written
    return {"o": o}, {"S": S}
