"""Laughing Hyena (Massaroli et al. 2023, arXiv 2310.18780), the modal recurrence of section 3.

The filter is h0 at lag 0 and Re(sum over n of R_n lam_n^(s - 1)) at lag s.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"u": Port()},
    "params": {"lam": Port("N", "complex, abs < 1"), "R": Port("N", "complex"), "h0": Port()},
    "states": {"x": Port("N", "complex")},
    "outputs": {"y": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"x": np.zeros(sizes["N"], dtype=np.complex128)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    u, lam, R = inputs["u"], params["lam"], params["R"]
    T, N = len(u), len(lam)
    x, y = state["x"].astype(np.complex128), np.zeros(T)
    for t in range(T):
        y[t] = params["h0"] * u[t]
        for n in range(N):
            y[t] += R[n].real * x[n].real - R[n].imag * x[n].imag
            x[n] = lam[n] * x[n] + u[t]
    return {"y": y}, {"x": x}
