"""Lattice (Karami, Mirrokni 2025): K slots, of which each moves orthogonally to itself.

With phi_i = s_i / |s_i| and e = v - sum_i k_i phi_i, slot i moves by gamma k_i (e - phi_i <phi_i, e>) / |s_i|. What is
read are the new slots, normalised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Array, Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V"), "gamma": Port("", "> 0, small")},
    "params": {"S0": Port("K V")},
    "states": {"S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": params["S0"].copy()}


def length(slot: Array) -> float:
    return math.sqrt(sum(x * x for x in slot))


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, gamma = inputs.values()
    K, V = state["S"].shape
    S, o = state["S"].copy(), np.zeros((len(q), V))
    for t in range(len(q)):
        phi = [S[i] / length(S[i]) for i in range(K)]
        error = v[t].copy()
        for i in range(K):
            error -= k[t, i] * phi[i]
        for i in range(K):
            along = sum(phi[i][j] * error[j] for j in range(V))
            S[i] = S[i] + gamma[t] * k[t, i] * (error - along * phi[i]) / length(S[i])
            o[t] += q[t, i] * S[i] / length(S[i])
    return {"o": o}, {"S": S}
