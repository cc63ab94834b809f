"""S5 (Smith, Warrington, Linderman 2022, arXiv 2208.04933): a diagonal state space, held at zero order."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"u": Port("U")},
    "params": {
        "Lam": Port("N", "complex, Re < 0"),
        "log_step": Port("N"),
        "B": Port("N U", "complex"),
        "C": Port("U N", "complex"),
        "D": Port("U"),
    },
    "states": {"x": Port("N", "complex")},
    "outputs": {"y": Port("U")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"x": np.zeros(sizes["N"], dtype=np.complex128)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    u, Lam, B, C, D = inputs["u"], *(params[name] for name in ("Lam", "B", "C", "D"))
    (T, U), N = u.shape, Lam.shape[0]
    x, y = state["x"].astype(np.complex128), np.zeros((T, U))
    for t in range(T):
        for n in range(N):
            transition = cmath.exp(Lam[n] * math.exp(params["log_step"][n]))
            driven = sum(B[n, j] * u[t, j] for j in range(U))
            x[n] = transition * x[n] + (transition - 1) / Lam[n] * driven
        for j in range(U):
            y[t, j] = sum((C[j, n] * x[n]).real for n in range(N)) + D[j] * u[t, j]
    return {"y": y}, {"x": x}
