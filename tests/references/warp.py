"""WARP with a linear readout (Nzoyem et al. 2025, arXiv 2506.01153): the input is the change of x, from x = 0."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("D")},
    "params": {"A": Port("P P", "mixing"), "B": Port("P D"), "C": Port("Y P")},
    "states": {"theta": Port("P"), "prev_x": Port("D")},
    "outputs": {"y": Port("Y")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"theta": np.zeros(sizes["P"]), "prev_x": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, A, B, C = inputs["x"], params["A"], params["B"], params["C"]
    (T, D), (Y, P) = x.shape, C.shape
    theta, before, y = state["theta"].copy(), state["prev_x"].copy(), np.zeros((T, Y))
    for t in range(T):
        old = theta.copy()
        for p in range(P):
            theta[p] = sum(A[p, r] * old[r] for r in range(P)) + sum(B[p, d] * (x[t, d] - before[d]) for d in range(D))
        for out in range(Y):
            y[t, out] = sum(C[out, p] * theta[p] for p in range(P))
        before = x[t].copy()
    return {"y": y}, {"theta": theta, "prev_x": before}
