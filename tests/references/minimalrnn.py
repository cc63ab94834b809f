"""MinimalRNN (Chen 2017, arXiv 1711.06788): the state moves towards the latent input `z`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("z x_u", "D"),
    "params": ports("U", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["z"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        keep = [sigmoid(into(d, h, params["U"]) + inputs["x_u"][t, d]) for d in range(D)]
        for d in range(D):
            h[d] = keep[d] * h[d] + (1 - keep[d]) * inputs["z"][t, d]
        out[t] = h
    return {"h": out}, {"h": h}
