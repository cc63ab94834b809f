"""Exponential moving average (Brown 1956), from zero, without bias correction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("D")},
    "params": {"alpha": Port("D", "(0, 1)")},
    "states": {"h": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, alpha = inputs["x"], params["alpha"]
    T, D = x.shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            h[d] = h[d] + alpha[d] * (x[t, d] - h[d])
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
