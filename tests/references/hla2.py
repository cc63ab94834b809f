"""Higher-order linear attention of second order with decay (Zhang, Qin, Wang, Gu 2025, arXiv 2510.27258).

In the form that keeps exactly the pairs i <= j: F_t = gamma^2 F_{t-1} + (S_t q_t) v_t^T, o_t = F_t^T q_t.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V")},
    "params": {"gamma": Port("", "(0, 1)")},
    "states": {"S": Port("K K"), "F": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["K"])), "F": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, gamma = inputs["q"], inputs["k"], inputs["v"], params["gamma"]
    (T, V), K = v.shape, k.shape[1]
    S, F, o = state["S"].copy(), state["F"].copy(), np.zeros((T, V))
    for t in range(T):
        for a in range(K):
            for b in range(K):
                S[a, b] = gamma * S[a, b] + k[t, a] * k[t, b]
            read = sum(S[a, b] * q[t, b] for b in range(K))
            for c in range(V):
                F[a, c] = gamma**2 * F[a, c] + read * v[t, c]
                o[t, c] += F[a, c] * q[t, a]
    return {"o": o}, {"S": S, "F": F}
