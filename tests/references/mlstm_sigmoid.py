"""mLSTM with a sigmoid input gate (Beck et al. 2025, TFLA, arXiv 2503.14376), without the optional normaliser."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V"), "i": Port(), "f": Port()},
    "params": {},
    "states": {"C": Port("K V")},
    "outputs": {"h": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"C": np.zeros((sizes["K"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    C, h = state["C"].copy(), np.zeros((T, V))
    for t in range(T):
        forget, gain = sigmoid(inputs["f"][t]), sigmoid(inputs["i"][t])
        for a in range(K):
            for b in range(V):
                C[a, b] = forget * C[a, b] + gain * k[t, a] * v[t, b]
                h[t, b] += C[a, b] * q[t, a]
    return {"h": h}, {"C": C}
