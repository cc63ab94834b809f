"""LSSL (Gu et al. 2021, arXiv 2110.13985): x' = A x + B u by the bilinear (Tustin) rule with step dt, y = C x + D u."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"dt": 0.1}
SHAPES = {
    "inputs": {"u": Port()},
    "params": {"A": Port("N N", "dissipative"), "B": Port("N"), "C": Port("N"), "D": Port()},
    "states": {"x": Port("N")},
    "outputs": {"y": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"x": np.zeros(sizes["N"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    u, A, B, C, dt = inputs["u"], params["A"], params["B"], params["C"], CONSTANTS["dt"]
    T, N = len(u), len(B)
    inverse = np.linalg.inv(np.eye(N) - dt / 2 * A)
    x, y = state["x"].copy(), np.zeros(T)
    for t in range(T):
        right = [x[i] + dt / 2 * sum(A[i, j] * x[j] for j in range(N)) + dt * B[i] * u[t] for i in range(N)]
        for i in range(N):
            x[i] = sum(inverse[i, j] * right[j] for j in range(N))
        y[t] = sum(C[i] * x[i] for i in range(N)) + params["D"] * u[t]
    return {"y": y}, {"x": x}
