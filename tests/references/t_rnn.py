"""T-RNN (Balduzzi, Ghifary 2016, Strongly-typed recurrent neural networks, arXiv 1602.02218)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("z f", "D"),
    "params": {},
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["z"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            keep = sigmoid(inputs["f"][t, d])
            h[d] = keep * h[d] + (1 - keep) * inputs["z"][t, d]
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
