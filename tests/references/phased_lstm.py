"""Phased LSTM (Neil, Pfeiffer, Liu 2016, arXiv 1610.09513): a unit is open for part of its period.

The output gate reads the cell that the time gate has let through.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"r_on": 0.05, "alpha": 0.001}
SHAPES = {
    "inputs": {**ports("x_i x_f x_g x_o", "D"), **ports("time")},
    "params": {
        **ports("U_i U_f U_g U_o", "D D", "mixing"),
        **ports("w_i w_f w_o", "D"),
        **ports("tau", "D", ">= 1"),
        **ports("shift", "D"),
    },
    "states": ports("h c", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def openness(phase: float) -> float:
    """How far the time gate is open, 0 to 1, at a phase in [0, 1)."""
    ratio = CONSTANTS["r_on"]
    if phase < ratio / 2:
        return 2 * phase / ratio
    return 2 - 2 * phase / ratio if phase < ratio else CONSTANTS["alpha"] * phase


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_i"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            tau = params["tau"][d]
            k = openness(((float(inputs["time"][t]) - params["shift"][d]) % tau) / tau)
            a = {name: inputs[f"x_{name}"][t, d] + into(d, old, params[f"U_{name}"]) for name in "ifgo"}
            write, keep = sigmoid(a["i"] + params["w_i"][d] * c[d]), sigmoid(a["f"] + params["w_f"][d] * c[d])
            proposed = keep * c[d] + write * math.tanh(a["g"])
            c[d] = k * proposed + (1 - k) * c[d]
            shown = sigmoid(a["o"] + params["w_o"][d] * c[d]) * math.tanh(proposed)
            h[d] = k * shown + (1 - k) * old[d]
        out[t] = h
    return {"h": out}, {"h": h, "c": c}
