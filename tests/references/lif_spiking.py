"""Leaky integrate-and-fire neuron: a spike of the previous step takes the threshold off, and that leaks too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"lam": 0.9, "v_th": 1.0}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": {},
    "states": ports("u s", "D"),
    "outputs": ports("s u", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    u, s, spikes, potentials = state["u"].copy(), state["s"].copy(), np.zeros((T, D)), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            u[d] = CONSTANTS["lam"] * (u[d] - CONSTANTS["v_th"] * s[d]) + inputs["x"][t, d]
            s[d] = 1.0 if u[d] >= CONSTANTS["v_th"] else 0.0
            spikes[t, d], potentials[t, d] = s[d], u[d]
    return {"s": spikes, "u": potentials}, {"u": u, "s": s}
