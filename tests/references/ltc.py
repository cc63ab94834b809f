"""Liquid time-constant network (Hasani et al. 2020, arXiv 2006.04439), fused semi-implicit solver.

`act[j, i]` leads from neuron j to neuron i; `cm` is the capacitance over the length of an inner step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"unfolds": 6}
SHAPES = {
    "inputs": {**ports("s_num", "D"), **ports("s_den", "D", ">= 0")},
    "params": {
        **ports("cm gleak", "D", "> 0"),
        **ports("vleak", "D"),
        **ports("W", "D D", ">= 0"),
        **ports("mu sigma erev", "D D"),
    },
    "states": ports("v", "D"),
    "outputs": ports("v", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["s_num"].shape
    v, out = state["v"].copy(), np.zeros((T, D))
    for t in range(T):
        for _ in range(int(CONSTANTS["unfolds"])):
            old = v.copy()
            for i in range(D):
                numerator = params["cm"][i] * old[i] + params["gleak"][i] * params["vleak"][i] + inputs["s_num"][t, i]
                denominator = params["cm"][i] + params["gleak"][i] + inputs["s_den"][t, i]
                for j in range(D):
                    open_to = sigmoid(params["sigma"][j, i] * (old[j] - params["mu"][j, i]))
                    numerator += params["W"][j, i] * open_to * params["erev"][j, i]
                    denominator += params["W"][j, i] * open_to
                v[i] = numerator / denominator
        out[t] = v
    return {"v": out}, {"v": v}
