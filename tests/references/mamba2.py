"""Mamba-2 (Dao, Gu 2024, arXiv 2405.21060): a selective state space with a scalar times identity for A."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import softplus
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("P"), "dt": Port(), "B": Port("N"), "C": Port("N")},
    "params": {"A_log": Port(), "D": Port()},
    "states": {"S": Port("N P")},
    "outputs": {"y": Port("P")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S": np.zeros((sizes["N"], sizes["P"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, B, C = inputs["x"], inputs["B"], inputs["C"]
    (T, P), N = x.shape, B.shape[1]
    S, y = state["S"].copy(), np.zeros((T, P))
    A = -math.exp(params["A_log"])
    for t in range(T):
        delta = softplus(inputs["dt"][t])
        for p in range(P):
            y[t, p] = params["D"] * x[t, p]
            for n in range(N):
                S[n, p] = math.exp(delta * A) * S[n, p] + delta * B[t, n] * x[t, p]
                y[t, p] += C[t, n] * S[n, p]
    return {"y": y}, {"S": S}
