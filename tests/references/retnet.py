"""RetNet's retention (Sun et al. 2023, arXiv 2307.08621), recurrent representation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V")},
    "params": {"gamma": Port("", "(0, 1)")},
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
                S[a, b] = params["gamma"] * S[a, b] + k[t, a] * v[t, b]
                o[t, b] += q[t, a] * S[a, b]
    return {"o": o}, {"S": S}
