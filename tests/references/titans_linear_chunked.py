"""Titans' linear memory, trained in chunks (Behrouz, Zhong, Mirrokni 2024, arXiv 2501.00663), section 3.2.

Within a chunk all gradients are taken at the memory before the chunk; momentum and forgetting run on token by token.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import titans_linear
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"b": 16}
SHAPES = {**titans_linear.SHAPES, "states": {"M": Port("K V"), "S": Port("K V"), "hold_M": Port("K V"), "t": Port()}}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    zeros = np.zeros((sizes["K"], sizes["V"]))
    return {"M": zeros, "S": zeros.copy(), "hold_M": zeros.copy(), "t": np.array(0.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays, b: int = 16) -> tuple[Arrays, Arrays]:
    q, k, v, eta, theta, alpha = inputs.values()
    (T, V), K = v.shape, k.shape[1]
    M, S, M_b = state["M"].copy(), state["S"].copy(), state["hold_M"].copy()
    clock, o = float(state["t"]), np.zeros((T, V))
    for t in range(T):
        if clock % b == 0:
            M_b = M.copy()
        clock += 1
        for j in range(V):
            error = sum(M_b[i, j] * k[t, i] for i in range(K)) - v[t, j]
            for i in range(K):
                S[i, j] = eta[t] * S[i, j] - theta[t] * 2 * k[t, i] * error
                M[i, j] = (1 - alpha[t]) * M[i, j] + S[i, j]
                o[t, j] += M[i, j] * q[t, i]
    return {"o": o}, {"M": M, "S": S, "hold_M": M_b, "t": np.array(clock)}
