"""TTT-MLP (Sun et al. 2024, arXiv 2407.04620), the primal form: backpropagation by hand, one step a token.

f(x) = x + LN(gelu_tanh(x W1 + b1) W2 + b2), with the loss |f(k) - v|^2 / 2 differentiated at the weights on entry to
the mini-batch. A token's learning rate is its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .layers import gelu_tanh, gelu_tanh_slope, layernorm, layernorm_backward
from .ports import Array, Arrays, Port

CONSTANTS: dict[str, float] = {"b": 16, "eps": 1e-6}
WEIGHTS = {"W1": Port("D F"), "b1": Port("F"), "W2": Port("F D"), "b2": Port("D")}
SHAPES = {
    "inputs": {"q": Port("D"), "k": Port("D"), "v": Port("D"), "eta": Port("", "> 0, small")},
    "params": {
        "ln_w": Port("D"),
        "ln_b": Port("D"),
        "W1_0": Port("D F", "mixing"),
        "b1_0": Port("F"),
        "W2_0": Port("F D", "mixing"),
        "b2_0": Port("D"),
    },
    "states": WEIGHTS
    | {"hold_W1": WEIGHTS["W1"], "t": Port(), "hold_b1": WEIGHTS["b1"]}
    | {"hold_W2": WEIGHTS["W2"], "hold_b2": WEIGHTS["b2"]},
    "outputs": {"o": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    weights = {name: params[f"{name}_0"].copy() for name in WEIGHTS}
    held = {f"hold_{name}": weight.copy() for name, weight in weights.items()}
    every = weights | held | {"t": np.array(0.0)}
    return {name: every[name] for name in SHAPES["states"]}


def inner_gradient(k: Array, v: Array, params: Arrays, weights: dict[str, Array]) -> dict[str, Array]:
    """Of |f(k) - v|^2 / 2 with respect to the weights."""
    eps = CONSTANTS["eps"]
    hidden = k @ weights["W1"] + weights["b1"]
    out = gelu_tanh(hidden) @ weights["W2"] + weights["b2"]
    error = k + params["ln_w"] * layernorm(out, eps) + params["ln_b"] - v
    d_out = layernorm_backward(out, params["ln_w"] * error, eps)
    d_hidden = gelu_tanh_slope(hidden) * (weights["W2"] @ d_out)
    return {"W1": np.outer(k, d_hidden), "b1": d_hidden, "W2": np.outer(gelu_tanh(hidden), d_out), "b2": d_out}


def reference(inputs: Arrays, params: Arrays, state: Arrays, b: int = 16) -> tuple[Arrays, Arrays]:
    q, k, v, eta = (inputs[name] for name in ("q", "k", "v", "eta"))
    weights = {name: state[name].copy() for name in WEIGHTS}
    held = {name: state[f"hold_{name}"].copy() for name in WEIGHTS}
    clock, o = float(state["t"]), np.zeros_like(q)
    for t in range(len(q)):
        if clock % b == 0:
            held = weights
        clock += 1
        slopes = inner_gradient(k[t], v[t], params, held)
        weights = {name: weights[name] - eta[t] * slopes[name] for name in WEIGHTS}
        out = gelu_tanh(q[t] @ weights["W1"] + weights["b1"]) @ weights["W2"] + weights["b2"]
        o[t] = q[t] + params["ln_w"] * layernorm(out, CONSTANTS["eps"]) + params["ln_b"]
    every = weights | {f"hold_{name}": held[name].copy() for name in WEIGHTS} | {"t": np.array(clock)}
    return {"o": o}, {name: every[name] for name in SHAPES["states"]}
