"""QRNN, fo-pooling (Bradbury, Merity, Xiong, Socher 2016, Quasi-recurrent neural networks, arXiv 1611.01576)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("z f o", "D"),
    "params": {},
    "states": ports("c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["z"].shape
    c, out = state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            keep = sigmoid(inputs["f"][t, d])
            c[d] = keep * c[d] + (1 - keep) * math.tanh(inputs["z"][t, d])
            out[t, d] = sigmoid(inputs["o"][t, d]) * c[d]
    return {"h": out}, {"c": c}
