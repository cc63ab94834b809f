"""Titans' memory of two layers (Behrouz, Zhong, Mirrokni 2024, arXiv 2501.00663), M(x) = gelu(x W1) W2.

Backpropagation of |M(k) - v|^2 by hand, at the weights before the token, into a momentum for each layer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .layers import gelu, gelu_slope
from .ports import Arrays, Port
from .titans_linear import SHAPES as LINEAR

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": LINEAR["inputs"],
    "params": {"W1_0": Port("K F", "mixing"), "W2_0": Port("F V", "mixing")},
    "states": {"W1": Port("K F"), "W2": Port("F V"), "S1": Port("K F"), "S2": Port("F V")},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    W1, W2 = params["W1_0"].copy(), params["W2_0"].copy()
    return {"W1": W1, "W2": W2, "S1": np.zeros_like(W1), "S2": np.zeros_like(W2)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, eta, theta, alpha = inputs.values()
    W1, W2, S1, S2 = (state[name].copy() for name in ("W1", "W2", "S1", "S2"))
    o = np.zeros_like(v)
    for t in range(len(q)):
        hidden = k[t] @ W1
        error = 2 * (gelu(hidden) @ W2 - v[t])
        d_hidden = gelu_slope(hidden) * (W2 @ error)
        S1 = eta[t] * S1 - theta[t] * np.outer(k[t], d_hidden)
        S2 = eta[t] * S2 - theta[t] * np.outer(gelu(hidden), error)
        W1 = (1 - alpha[t]) * W1 + S1
        W2 = (1 - alpha[t]) * W2 + S2
        o[t] = gelu(q[t] @ W1) @ W2
    return {"o": o}, {"W1": W1, "W2": W2, "S1": S1, "S2": S2}
