"""Multi-dimensional damped EMA of MEGA (Ma et al. 2022, arXiv 2209.10655)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("D")},
    "params": {"alpha": Port("D N", "(0, 1)"), "delta": Port("D N", "(0, 1)"), "beta": Port("D N"), "eta": Port("D N")},
    "states": {"h": Port("D N")},
    "outputs": {"y": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros((sizes["D"], sizes["N"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, alpha, delta, beta, eta = inputs["x"], *(params[name] for name in ("alpha", "delta", "beta", "eta"))
    (T, D), N = x.shape, alpha.shape[1]
    h, y = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            for n in range(N):
                expanded = beta[d, n] * x[t, d]
                h[d, n] = alpha[d, n] * expanded + (1 - alpha[d, n] * delta[d, n]) * h[d, n]
                y[t, d] += eta[d, n] * h[d, n]
    return {"y": y}, {"h": h}
