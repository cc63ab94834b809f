"""HGRN, real form (Qin, Yang, Zhong 2023, arXiv 2311.04823): the forget gate stays above its layer's lower bound."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid, silu
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"i": Port("D"), "f": Port("D")},
    "params": {"lb": Port("D", "[0, 1)")},
    "states": {"h": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["i"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            mu, bound = sigmoid(inputs["f"][t, d]), params["lb"][d]
            forget = bound + (1 - bound) * mu
            h[d] = forget * h[d] + (1 - forget) * silu(inputs["i"][t, d])
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
