"""The path signature to level 2 (Chen 1958): a segment dx multiplies the signature by (1, dx, dx dx^T / 2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"dx": Port("D")},
    "params": {},
    "states": {"S1": Port("D"), "S2": Port("D D")},
    "outputs": {"level1": Port("D"), "level2": Port("D D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"S1": np.zeros(sizes["D"]), "S2": np.zeros((sizes["D"], sizes["D"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    dx = inputs["dx"]
    T, D = dx.shape
    S1, S2 = state["S1"].copy(), state["S2"].copy()
    level1, level2 = np.zeros((T, D)), np.zeros((T, D, D))
    for t in range(T):
        for i in range(D):
            for j in range(D):
                S2[i, j] += S1[i] * dx[t, j] + dx[t, i] * dx[t, j] / 2
        S1 += dx[t]
        level1[t], level2[t] = S1, S2
    return {"level1": level1, "level2": level2}, {"S1": S1, "S2": S2}
