"""Lipschitz RNN (Erichson et al. 2020, arXiv 2006.12070), Euler; A and W have beta and gamma in common."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Array, Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"beta": 0.75, "gamma": 0.001, "eps": 0.03}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": ports("M_A M_W", "D D", "mixing"),
    "states": ports("h", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def entry(M: Array, a: int, b: int) -> float:
    """Of the sum of a symmetric and an antisymmetric part, damped."""
    symmetric, antisymmetric = M[a, b] + M[b, a], M[a, b] - M[b, a]
    beta, damping = CONSTANTS["beta"], CONSTANTS["gamma"] if a == b else 0.0
    return (1 - beta) * symmetric + beta * antisymmetric - damping


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, out = state["h"].copy(), np.zeros((T, D))
    A, W = (np.array([[entry(params[M], a, b) for b in range(D)] for a in range(D)]) for M in ("M_A", "M_W"))
    for t in range(T):
        slope = [into(d, h, A) + math.tanh(into(d, h, W) + inputs["x"][t, d]) for d in range(D)]
        for d in range(D):
            h[d] += CONSTANTS["eps"] * slope[d]
        out[t] = h
    return {"h": out}, {"h": h}
