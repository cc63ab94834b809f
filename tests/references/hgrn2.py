"""HGRN2 (Qin et al. 2024, arXiv 2404.07904), with the lower bound of HGRN; the key is 1 - forget gate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "f": Port("K"), "i": Port("V")},
    "params": {"lb": Port("K", "[0, 1)")},
    "states": {"S": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, f, i, lb = inputs["q"], inputs["f"], inputs["i"], params["lb"]
    (T, V), K = i.shape, q.shape[1]
    S, o = state["S"].copy(), np.zeros((T, V))
    for t in range(T):
        for a in range(K):
            forget = lb[a] + (1 - lb[a]) * sigmoid(f[t, a])
            for b in range(V):
                S[a, b] = forget * S[a, b] + (1 - forget) * i[t, b]
                o[t, b] += S[a, b] * q[t, a]
    return {"o": o}, {"S": S}
