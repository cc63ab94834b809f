"""LSRL (Petrov et al. 2024): the first token, at every step; `n` counts the tokens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port()},
    "params": {},
    "states": {"first": Port(), "n": Port()},
    "outputs": {"echo": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"first": np.array(0.0), "n": np.array(0.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    first, n, echo = float(state["first"]), float(state["n"]), np.zeros(len(inputs["x"]))
    for t, x in enumerate(inputs["x"]):
        if round(n) == 0:
            first += x
        n += 1
        echo[t] = first
    return {"echo": echo}, {"first": np.array(first), "n": np.array(n)}
