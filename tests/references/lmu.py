"""The linear memory of a Legendre memory unit (Voelker, Kajic, Eliasmith 2019), discretised by the caller."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"u": Port()},
    "params": {"A": Port("N N", "mixing"), "B": Port("N")},
    "states": {"m": Port("N")},
    "outputs": {"m": Port("N")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"m": np.zeros(sizes["N"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    u, A, B = inputs["u"], params["A"], params["B"]
    T, N = len(u), len(B)
    m, out = state["m"].copy(), np.zeros((T, N))
    for t in range(T):
        old = m.copy()
        for i in range(N):
            m[i] = sum(A[i, j] * old[j] for j in range(N)) + B[i] * u[t]
        out[t] = m
    return {"m": out}, {"m": m}
