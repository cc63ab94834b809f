"""Online Bayesian linear regression with drifting weights (Titsias et al. 2023, arXiv 2306.08448), section 3.

The prior of a step is N(gamma m, gamma^2 P + (1 - gamma^2) sw2 I); `pred` is before, `mean` after y is seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"phi": Port("D"), "y": Port(), "gamma": Port("", "[0, 1)")},
    "params": {"sw2": Port("", "> 0"), "s2": Port("", "> 0")},
    "states": {"m": Port("D"), "P": Port("D D")},
    "outputs": {"pred": Port(), "mean": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"m": np.zeros(sizes["D"]), "P": params["sw2"] * np.eye(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    phi, y, gamma, sw2 = inputs["phi"], inputs["y"], inputs["gamma"], params["sw2"]
    T, D = phi.shape
    m, P, pred, mean = state["m"].copy(), state["P"].copy(), np.zeros(T), np.zeros((T, D))
    for t in range(T):
        for a in range(D):
            m[a] *= gamma[t]
            for b in range(D):
                P[a, b] = gamma[t] ** 2 * P[a, b] + (1 - gamma[t] ** 2) * sw2 * float(a == b)
        z = [sum(P[a, b] * phi[t, b] for b in range(D)) for a in range(D)]
        pred[t] = sum(phi[t, a] * m[a] for a in range(D))
        variance = sum(phi[t, a] * z[a] for a in range(D)) + params["s2"]
        for a in range(D):
            m[a] += z[a] / variance * (y[t] - pred[t])
            for b in range(D):
                P[a, b] -= z[a] * z[b] / variance
        mean[t] = m
    return {"pred": pred, "mean": mean}, {"m": m, "P": P}
