"""AL-RNN (Brenner, Hemmer, Monfared, Durstewitz 2024): a linear map, but for the last P units, which are rectified."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import into, relu
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"P": 2}
SHAPES = {
    "inputs": ports("u", "D"),
    "params": {**ports("A", "D"), **ports("W", "D D", "mixing"), **ports("b", "D")},
    "states": ports("z", "D"),
    "outputs": ports("z", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["u"].shape
    linear = D - int(CONSTANTS["P"])
    z, out = state["z"].copy(), np.zeros((T, D))
    for t in range(T):
        sent = [z[d] if d < linear else relu(z[d]) for d in range(D)]
        for d in range(D):
            z[d] = params["A"][d] * z[d] + into(d, sent, params["W"]) + params["b"][d] + inputs["u"][t, d]
        out[t] = z
    return {"z": out}, {"z": z}
