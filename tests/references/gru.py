"""GRU (Cho et al. 2014, arXiv 1406.1078) in the form of torch.nn.GRU: the reset gate acts after the recurrent product.

`b_n` is torch's bias_hn. `U[a, b]` leads from unit a to unit b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x_r": Port("D"), "x_z": Port("D"), "x_n": Port("D")},
    "params": {
        "U_r": Port("D D", "mixing"),
        "U_z": Port("D D", "mixing"),
        "U_n": Port("D D", "mixing"),
        "b_n": Port("D"),
    },
    "states": {"h": Port("D")},
    "outputs": {"h": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"])}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x_n"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            from_r = sum(old[a] * params["U_r"][a, d] for a in range(D))
            from_z = sum(old[a] * params["U_z"][a, d] for a in range(D))
            from_n = sum(old[a] * params["U_n"][a, d] for a in range(D))
            reset, update = sigmoid(inputs["x_r"][t, d] + from_r), sigmoid(inputs["x_z"][t, d] + from_z)
            new = math.tanh(inputs["x_n"][t, d] + reset * (from_n + params["b_n"][d]))
            h[d] = (1 - update) * new + update * old[d]
            out[t, d] = h[d]
    return {"h": out}, {"h": h}
