"""The largest value so far."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("D")},
    "params": {},
    "states": {"m": Port("D")},
    "outputs": {"m": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"m": np.full(sizes["D"], -np.inf)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    m, out = state["m"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            if inputs["x"][t, d] > m[d]:
                m[d] = inputs["x"][t, d]
            out[t, d] = m[d]
    return {"m": out}, {"m": m}
