"""First-order linear recurrence (Blelloch 1990; Martin, Cundy 2018, arXiv 1709.04057)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"a": Port("D", "(-1.2, 1.2)"), "x": Port("D")},
    "params": {},
    "states": {"h": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    a, x = inputs["a"], inputs["x"]
    T, D = x.shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            h[d] = a[t, d] * h[d] + x[t, d]
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
