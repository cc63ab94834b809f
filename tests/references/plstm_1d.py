"""pLSTM on a sequence (Poeppel et al. 2025): source, transition, mark, and a direct path for the token itself."""

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
        "source": Port(),
        "transition": Port("", "[-1, 1]"),
        "mark": Port(),
        "direct": Port(),
    },
    "params": {},
    "states": {"C": Port("K V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"C": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    C, o = state["C"].copy(), np.zeros((T, V))
    for t in range(T):
        score = inputs["direct"][t] * sum(q[t, a] * k[t, a] for a in range(K))
        for b in range(V):
            o[t, b] = inputs["mark"][t] * sum(C[a, b] * q[t, a] for a in range(K)) + score * v[t, b]
            for a in range(K):
                C[a, b] = inputs["transition"][t] * C[a, b] + inputs["source"][t] * k[t, a] * v[t, b]
    return {"o": o}, {"C": C}
