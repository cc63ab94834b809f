"""Recurrent additive network (Lee, Levy, Zettlemoyer 2017, arXiv 1705.07393): a gated sum of linear inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x_c x_i x_f", "D"),
    "params": ports("U_i U_f", "D D", "mixing"),
    "states": ports("c h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_c"].shape
    c, h, out = state["c"].copy(), state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        write = [sigmoid(inputs["x_i"][t, d] + into(d, h, params["U_i"])) for d in range(D)]
        keep = [sigmoid(inputs["x_f"][t, d] + into(d, h, params["U_f"])) for d in range(D)]
        for d in range(D):
            c[d] = write[d] * inputs["x_c"][t, d] + keep[d] * c[d]
            h[d] = math.tanh(c[d])
        out[t] = h
    return {"h": out}, {"c": c, "h": h}
