"""Shallow PLRNN (Hess, Monfared, Brenner, Durstewitz 2023, arXiv 2306.04406), generalised teacher forcing.

`z_hat` of a step forces the state that leaves it; the output is the prediction before that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, relu
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"alpha": 0.1}
SHAPES = {
    "inputs": ports("z_hat", "D"),
    "params": {
        **ports("A", "D"),
        **ports("W1", "L D", "mixing"),
        **ports("W2", "D L", "mixing"),
        **ports("h1", "D"),
        **ports("h2", "L"),
    },
    "states": ports("z", "D"),
    "outputs": ports("pred", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, D), L = inputs["z_hat"].shape, len(params["h2"])
    z, out, forcing = state["z"].copy(), np.zeros((T, D)), CONSTANTS["alpha"]
    for t in range(T):
        hidden = [relu(into(n, z, params["W2"]) + params["h2"][n]) for n in range(L)]
        for d in range(D):
            out[t, d] = params["A"][d] * z[d] + into(d, hidden, params["W1"]) + params["h1"][d]
            z[d] = (1 - forcing) * out[t, d] + forcing * inputs["z_hat"][t, d]
    return {"pred": out}, {"z": z}
