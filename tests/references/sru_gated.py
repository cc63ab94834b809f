"""SRU, the last version (Lei, Zhang, Wang, Dai, Artzi 2018, Simple recurrent units, arXiv 1709.02755v5).

Both gates read the state before the step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x z x_f x_r", "D"),
    "params": ports("v_f v_r", "D"),
    "states": ports("c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    c, out = state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            keep = sigmoid(inputs["x_f"][t, d] + params["v_f"][d] * c[d])
            reset = sigmoid(inputs["x_r"][t, d] + params["v_r"][d] * c[d])
            c[d] = keep * c[d] + (1 - keep) * inputs["z"][t, d]
            out[t, d] = reset * c[d] + (1 - reset) * inputs["x"][t, d]
    return {"h": out}, {"c": c}
