"""ParaLSTM (Danieli et al. 2025, ParaRNN, arXiv 2510.21450).

The forget gate peeps at the old cell, the output gate at the new one; all gates read the old `h`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_f x_c x_o", "D"),
    "params": ports("a_f a_c a_o p_f p_o", "D"),
    "states": ports("c h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_f"].shape
    c, h, out = state["c"].copy(), state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            forget = sigmoid(params["a_f"][d] * h[d] + inputs["x_f"][t, d] + params["p_f"][d] * c[d])
            c[d] = forget * c[d] + (1 - forget) * math.tanh(params["a_c"][d] * h[d] + inputs["x_c"][t, d])
            gate = sigmoid(params["a_o"][d] * h[d] + inputs["x_o"][t, d] + params["p_o"][d] * c[d])
            h[d] = gate * math.tanh(c[d])
            out[t, d] = h[d]
    return {"h": out}, {"c": c, "h": h}
