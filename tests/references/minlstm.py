"""minLSTM (Feng, Tung, Ahmed, Bengio, Hajimirsadeghi 2024, arXiv 2410.01201), with normalised gates f' + i' = 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"f": Port("D"), "i": Port("D"), "x": Port("D")},
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
            f, i = sigmoid(inputs["f"][t, d]), sigmoid(inputs["i"][t, d])
            f_norm, i_norm = f / (f + i), i / (f + i)
            h[d] = f_norm * h[d] + i_norm * inputs["x"][t, d]
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
