"""sLSTM (Beck et al. 2024, xLSTM, arXiv 2405.04517), equations (8) to (17), with a sigmoid forget gate.

All states start at zero; a zero normaliser says that there is nothing to carry over, as a stabiliser of -inf would.
The floor of 1 under the normaliser is FlashRNN's (arXiv 2412.07752). `R[a, b]` leads from unit a to unit b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import logsigmoid, sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x_i": Port("D"), "x_f": Port("D"), "x_z": Port("D"), "x_o": Port("D")},
    "params": {
        "R_i": Port("D D", "mixing"),
        "R_f": Port("D D", "mixing"),
        "R_z": Port("D D", "mixing"),
        "R_o": Port("D D", "mixing"),
    },
    "states": {"y": Port("D"), "c": Port("D"), "n": Port("D"), "m": Port("D")},
    "outputs": {"y": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {name: np.zeros(sizes["D"]) for name in "ycnm"}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_i"].shape
    y, c, n, m = (state[name].copy() for name in "ycnm")
    out = np.zeros((T, D))
    for t in range(T):
        old = y.copy()
        for d in range(D):
            gates = {}
            for name in "ifzo":
                recurrent = sum(old[a] * params[f"R_{name}"][a, d] for a in range(D))
                gates[name] = inputs[f"x_{name}"][t, d] + recurrent
            carried = -math.inf if n[d] == 0 else logsigmoid(gates["f"]) + m[d]
            m[d] = max(carried, gates["i"])
            forget, gain = math.exp(carried - m[d]), math.exp(gates["i"] - m[d])
            c[d] = forget * c[d] + gain * math.tanh(gates["z"])
            n[d] = max(forget * n[d] + gain, 1.0)
            y[d] = sigmoid(gates["o"]) * c[d] / n[d]
            out[t, d] = y[d]
    return {"y": out}, {"y": y, "c": c, "n": n, "m": m}
