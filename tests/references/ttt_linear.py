"""TTT-Linear (Sun et al. 2024, arXiv 2407.04620), the primal form: one gradient step a token, in mini-batches.

f(x) = x + LN(x W + c), with the loss |f(k) - v|^2 / 2 differentiated at the weights on entry to the mini-batch. The
gradient is the chain rule by hand; a token's learning rate is its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .layers import layernorm, layernorm_backward
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"b": 16, "eps": 1e-6}
SHAPES = {
    "inputs": {"q": Port("D"), "k": Port("D"), "v": Port("D"), "eta": Port("", "> 0, small")},
    "params": {"ln_w": Port("D"), "ln_b": Port("D"), "W0": Port("D D", "mixing"), "c0": Port("D")},
    "states": {"W": Port("D D"), "c": Port("D"), "hold_W": Port("D D"), "t": Port(), "hold_c": Port("D")},
    "outputs": {"o": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    W, c = params["W0"].copy(), params["c0"].copy()
    return {"W": W, "c": c, "hold_W": W.copy(), "t": np.array(0.0), "hold_c": c.copy()}


def reference(inputs: Arrays, params: Arrays, state: Arrays, b: int = 16) -> tuple[Arrays, Arrays]:
    q, k, v, eta = (inputs[name] for name in ("q", "k", "v", "eta"))
    ln_w, ln_b = params["ln_w"], params["ln_b"]
    W, c, W_b, c_b = (state[name].copy() for name in ("W", "c", "hold_W", "hold_c"))
    clock, o = float(state["t"]), np.zeros_like(q)
    for t in range(len(q)):
        if clock % b == 0:
            W_b, c_b = W.copy(), c.copy()
        clock += 1
        hidden = k[t] @ W_b + c_b
        error = k[t] + ln_w * layernorm(hidden, CONSTANTS["eps"]) + ln_b - v[t]
        slope = layernorm_backward(hidden, ln_w * error, CONSTANTS["eps"])
        W = W - eta[t] * np.outer(k[t], slope)
        c = c - eta[t] * slope
        o[t] = q[t] + ln_w * layernorm(q[t] @ W + c, CONSTANTS["eps"]) + ln_b
    return {"o": o}, {"W": W, "c": c, "hold_W": W_b, "t": np.array(clock), "hold_c": c_b}
