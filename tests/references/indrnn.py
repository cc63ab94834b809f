"""IndRNN (Li, Li, Cook, Zhu, Gao 2018, arXiv 1803.04831)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import relu
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": ports("u", "D", "[-1, 1]"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            h[d] = relu(inputs["x"][t, d] + params["u"][d] * h[d])
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
