"""Clockwork RNN (Koutnik, Greff, Gomez, Schmidhuber 2014, arXiv 1402.3511), periods 1, 2, 4.

A module hears itself and those with longer periods; `t` counts the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"n": 3}
SHAPES = {
    "inputs": ports("x", "n D"),
    "params": ports("U", "n n D D", "mixing"),
    "states": {**ports("h", "n D"), **ports("t", "", "whole")},
    "outputs": ports("h", "n D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, n, D = inputs["x"].shape
    h, clock, out = state["h"].copy(), float(state["t"]), np.zeros((T, n, D))
    for step in range(T):
        old = h.copy()
        for g in range(n):
            if round(clock) % 2**g == 0:
                for d in range(D):
                    heard = sum(into(d, old[s], params["U"][s, g]) for s in range(g, n))
                    h[g, d] = math.tanh(inputs["x"][step, g, d] + heard)
        out[step] = h
        clock += 1
    return {"h": out}, {"h": h, "t": np.array(clock)}
