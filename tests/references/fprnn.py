"""Fixed-point RNN with Householder mixer (Movahedi, Sarnthein, Muca Cirone, Orvieto 2025, arXiv 2503.10799).

The fixed point of `y = L h + (I - L) (Q (x - y) + y)`, solved densely: `(L + (I - L) Q) y = L h + (I - L) Q x`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"n": 2, "tol": 1e-13, "max_iter": 500}
SHAPES = {
    "inputs": {
        "x": Port("D"),
        "lam": Port("D", "(0, 1)"),
        "u": Port("n D", "|k| = 1"),
        "beta": Port("n", "(0, 1)"),
    },
    "params": {},
    "states": {"h": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, lam, u, beta = (inputs[name] for name in ("x", "lam", "u", "beta"))
    T, D = x.shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        Q = np.eye(D)
        for j in range(u.shape[1]):
            Q = (np.eye(D) - beta[t, j] * np.outer(u[t, j], u[t, j])) @ Q
        L = np.diag(lam[t])
        rest = (np.eye(D) - L) @ Q
        h = np.linalg.solve(L + rest, L @ h + rest @ x[t])
        out[t] = h
    return {"h": out}, {"h": h}
