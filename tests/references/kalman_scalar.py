"""Kalman filter (Kalman 1960) of x' = a x + noise of variance q, seen as y = c x + noise of variance r."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"y": Port()},
    "params": {"a": Port(), "c": Port(), "q": Port("", "> 0"), "r": Port("", "> 0")},
    "states": {"m": Port(), "P": Port()},
    "outputs": {"mean": Port(), "var": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"m": np.array(0.0), "P": np.array(1.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    y, a, c, q, r = inputs["y"], params["a"], params["c"], params["q"], params["r"]
    m, P = float(state["m"]), float(state["P"])
    mean, var = np.zeros(len(y)), np.zeros(len(y))
    for t in range(len(y)):
        m, P = a * m, a * P * a + q
        gain = P * c / (c * P * c + r)
        m, P = m + gain * (y[t] - c * m), (1 - gain * c) * P
        mean[t], var[t] = m, P
    return {"mean": mean, "var": var}, {"m": np.array(m), "P": np.array(P)}
