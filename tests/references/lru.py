"""Linear Recurrent Unit (Orvieto et al. 2023, arXiv 2303.06349), exponential parametrisation."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"u": Port("N", "complex")},
    "params": {"nu": Port("N"), "theta": Port("N"), "C": Port("M N", "complex")},
    "states": {"h": Port("N", "complex")},
    "outputs": {"y": Port("M")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["N"], dtype=np.complex128)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    u, C = inputs["u"], params["C"]
    (T, N), M = u.shape, C.shape[0]
    h, y = state["h"].astype(np.complex128), np.zeros((T, M))
    for t in range(T):
        for n in range(N):
            eigenvalue = cmath.rect(math.exp(-math.exp(params["nu"][n])), math.exp(params["theta"][n]))
            gamma = math.sqrt(1 - abs(eigenvalue) ** 2)
            h[n] = eigenvalue * h[n] + gamma * u[t, n]
            for m in range(M):
                y[t, m] += C[m, n].real * h[n].real - C[m, n].imag * h[n].imag
    return {"y": y}, {"h": h}
