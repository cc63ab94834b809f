"""HiPPO-LegS by forward Euler (Gu, Dao, Ermon, Rudra, Re 2020, arXiv 2008.07669), equation (4).

The paper's k, the number of the sample, begins at 1; `t` is the number of samples before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"f": Port()},
    "params": {"A": Port("N N", "mixing"), "B": Port("N")},
    "states": {"c": Port("N"), "t": Port()},
    "outputs": {"c": Port("N")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"c": np.zeros(sizes["N"]), "t": np.array(0.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    f, A, B = inputs["f"], params["A"], params["B"]
    T, N = len(f), len(B)
    c, before, out = state["c"].copy(), float(state["t"]), np.zeros((T, N))
    for t in range(T):
        k, old = before + t + 1, c.copy()
        for i in range(N):
            c[i] += (B[i] * f[t] - sum(A[i, j] * old[j] for j in range(N))) / k
        out[t] = c
    return {"c": out}, {"c": c, "t": np.array(before + T)}
