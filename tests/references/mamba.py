"""Mamba (Gu, Dao 2023, arXiv 2312.00752), equation (2) with the selection of algorithm 2 and an Euler step for B."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import softplus
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("D"), "dt": Port("D"), "B": Port("N"), "C": Port("N")},
    "params": {"A_log": Port("D N"), "skip": Port("D")},
    "states": {"h": Port("D N")},
    "outputs": {"y": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros((sizes["D"], sizes["N"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, dt, B, C = (inputs[name] for name in ("x", "dt", "B", "C"))
    (T, D), N = x.shape, B.shape[1]
    h, y = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            delta = softplus(dt[t, d])
            y[t, d] = params["skip"][d] * x[t, d]
            for n in range(N):
                A = -math.exp(params["A_log"][d, n])
                h[d, n] = math.exp(delta * A) * h[d, n] + delta * B[t, n] * x[t, d]
                y[t, d] += C[t, n] * h[d, n]
    return {"y": y}, {"h": h}
