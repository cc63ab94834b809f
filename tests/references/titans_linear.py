"""Titans' linear memory (Behrouz, Zhong, Mirrokni 2024, arXiv 2501.00663), equations (9) to (14).

Surprise S is momentum over the gradients 2 k (M^T k - v)^T of |M^T k - v|^2; the memory forgets, then adds the new S.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {
        "q": Port("K"),
        "k": Port("K"),
        "v": Port("V"),
        "eta": Port("", "(0, 1)"),
        "theta": Port("", "> 0, small"),
        "alpha": Port("", "[0, 1)"),
    },
    "params": {},
    "states": {"M": Port("K V"), "S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"M": np.zeros((sizes["K"], sizes["V"])), "S": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, eta, theta, alpha = inputs.values()
    (T, V), K = v.shape, k.shape[1]
    M, S, o = state["M"].copy(), state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        for j in range(V):
            error = sum(M[i, j] * k[t, i] for i in range(K)) - v[t, j]
            for i in range(K):
                S[i, j] = eta[t] * S[i, j] - theta[t] * 2 * k[t, i] * error
                M[i, j] = (1 - alpha[t]) * M[i, j] + S[i, j]
                o[t, j] += M[i, j] * q[t, i]
    return {"o": o}, {"M": M, "S": S}
