"""Linear attention (Katharopoulos, Vyas, Pappas, Fleuret 2020, arXiv 2006.16236), equations (16) to (20)."""

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


def feature(x: float) -> float:
    """elu(x) + 1, equation (7)."""
    return x + 1 if x > 0 else math.exp(x)


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["K"], sizes["V"])), "z": np.zeros(sizes["K"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    v = inputs["v"]
    (T, V), K = v.shape, inputs["k"].shape[1]
    S, z, o = state["S"].copy(), state["z"].copy(), np.zeros((T, V))
    for t in range(T):
        normaliser = 0.0
        for a in range(K):
            phi_q, phi_k = feature(inputs["q"][t, a]), feature(inputs["k"][t, a])
            z[a] += phi_k
            normaliser += phi_q * z[a]
            for b in range(V):
                S[a, b] += phi_k * v[t, b]
                o[t, b] += phi_q * S[a, b]
        for b in range(V):
            o[t, b] /= normaliser
    return {"o": o}, {"S": S, "z": z}
