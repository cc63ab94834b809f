"""RAT, the recurrence within chunks of C tokens (Wei, Yadav, Pascanu, Gulcehre 2025, arXiv 2507.04416).

k~ = g k~ + (1 - g) k and v~ likewise, from zero at every chunk's start.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"C": 4}
SHAPES = {
    "inputs": {"g": Port("D"), "k": Port("D"), "v": Port("D")},
    "params": {},
    "states": {"ks": Port("D"), "vs": Port("D"), "t": Port("", "whole")},
    "outputs": {"k_out": Port("D"), "v_out": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"ks": np.zeros(sizes["D"]), "vs": np.zeros(sizes["D"]), "t": np.array(0.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["k"].shape
    ks, vs, before = state["ks"].copy(), state["vs"].copy(), float(state["t"])
    k_out, v_out = np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            if (round(before) + t) % CONSTANTS["C"] == 0:
                ks[d] = vs[d] = 0.0
            gate = sigmoid(inputs["g"][t, d])
            ks[d] = gate * ks[d] + (1 - gate) * inputs["k"][t, d]
            vs[d] = gate * vs[d] + (1 - gate) * inputs["v"][t, d]
        k_out[t], v_out[t] = ks, vs
    return {"k_out": k_out, "v_out": v_out}, {"ks": ks, "vs": vs, "t": np.array(before + T)}
