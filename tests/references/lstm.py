"""LSTM (Hochreiter, Schmidhuber 1997; forget gate Gers, Schmidhuber, Cummins 2000), gates as in torch.nn.LSTM.

`U[a, b]` leads from unit a to unit b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x_i": Port("D"), "x_f": Port("D"), "x_g": Port("D"), "x_o": Port("D")},
    "params": {
        "U_i": Port("D D", "mixing"),
        "U_f": Port("D D", "mixing"),
        "U_g": Port("D D", "mixing"),
        "U_o": Port("D D", "mixing"),
    },
    "states": {"h": Port("D"), "c": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"]), "c": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_i"].shape
    h, c, out = state["h"].copy(), state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            gates = {}
            for name in "ifgo":
                recurrent = sum(old[a] * params[f"U_{name}"][a, d] for a in range(D))
                gates[name] = inputs[f"x_{name}"][t, d] + recurrent
            c[d] = sigmoid(gates["f"]) * c[d] + sigmoid(gates["i"]) * math.tanh(gates["g"])
            h[d] = sigmoid(gates["o"]) * math.tanh(c[d])
            out[t, d] = h[d]
    return {"h": out}, {"h": h, "c": c}
