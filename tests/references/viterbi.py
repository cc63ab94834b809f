"""Viterbi's algorithm (Rabiner 1989, equations (32) to (34)) in logarithms, a transition before the first step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"e": Port("N")},
    "params": {"log_A": Port("N N", "log transitions"), "log_pi": Port("N", "log probabilities")},
    "states": {"d": Port("N")},
    "outputs": {"delta": Port("N"), "best": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"d": params["log_pi"].copy()}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    e, log_A = inputs["e"], params["log_A"]
    T, N = e.shape
    d, delta, best = state["d"].copy(), np.zeros((T, N)), np.zeros(T)
    for t in range(T):
        old = d.copy()
        for j in range(N):
            d[j] = max(old[i] + log_A[i, j] for i in range(N)) + e[t, j]
        delta[t], best[t] = d, max(d)
    return {"delta": delta, "best": best}, {"d": d}
