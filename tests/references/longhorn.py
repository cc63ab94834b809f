"""Longhorn as shipped (Liu et al. 2024, arXiv 2407.14207): the exact implicit step with the diagonal of k k^T."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("D"), "dt": Port("D"), "k": Port("N"), "q": Port("N")},
    "params": {"skip": Port("D")},
    "states": {"h": Port("D N")},
    "outputs": {"y": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros((sizes["D"], sizes["N"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, dt, k, q = (inputs[name] for name in ("x", "dt", "k", "q"))
    (T, D), N = x.shape, k.shape[1]
    h, y = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        squares = sum(k[t, n] ** 2 for n in range(N))
        for d in range(D):
            rate = sigmoid(dt[t, d]) / (1 + sigmoid(dt[t, d]) * squares)
            y[t, d] = params["skip"][d] * x[t, d]
            for n in range(N):
                h[d, n] = (1 - rate * k[t, n] ** 2) * h[d, n] + rate * x[t, d] * k[t, n]
                y[t, d] += h[d, n] * q[t, n]
    return {"y": y}, {"h": h}
