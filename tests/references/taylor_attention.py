"""Softmax attention as a recurrence (Mongaras, Larson 2025), the series of the exponential cut after order 2."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port, extents

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V")},
    "params": {},
    "states": {
        "S0": Port("V"),
        "S1": Port("K V"),
        "S2": Port("K K V"),
        "z0": Port(),
        "z1": Port("K"),
        "z2": Port("K K"),
    },
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {name: np.zeros(extents(port, sizes)) for name, port in SHAPES["states"].items()}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    S0, S1, S2, z0, z1, z2 = (state[name].copy() for name in SHAPES["states"])
    o = np.zeros((T, V))
    for t in range(T):
        S0 += v[t]
        z0 += 1
        numerator, denominator = S0.copy(), float(z0)
        for i in range(K):
            S1[i] += k[t, i] * v[t]
            z1[i] += k[t, i]
            numerator += q[t, i] * S1[i]
            denominator += q[t, i] * z1[i]
            for j in range(K):
                S2[i, j] += k[t, i] * k[t, j] * v[t]
                z2[i, j] += k[t, i] * k[t, j]
                numerator += q[t, i] * q[t, j] * S2[i, j] / 2
                denominator += q[t, i] * q[t, j] * z2[i, j] / 2
        o[t] = numerator / denominator
    return {"o": o}, {"S0": S0, "S1": S1, "S2": S2, "z0": z0, "z1": z1, "z2": z2}
