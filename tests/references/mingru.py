"""minGRU (Feng, Tung, Ahmed, Bengio, Hajimirsadeghi 2024, arXiv 2410.01201), linear-space form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"z": Port("D"), "x": Port("D")},
    "params": {},
    "states": {"h": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            z, candidate = sigmoid(inputs["z"][t, d]), inputs["x"][t, d]
            h[d] = (1 - z) * h[d] + z * candidate
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
