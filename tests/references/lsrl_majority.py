"""LSRL (Petrov et al. 2024): more ones than zeros among the bits so far; a tie is 0."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"bit": Port("", "{0, 1}")},
    "params": {},
    "states": {"ones": Port(), "zeros": Port()},
    "outputs": {"more": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"ones": np.array(0.0), "zeros": np.array(0.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    ones, zeros, more = float(state["ones"]), float(state["zeros"]), np.zeros(len(inputs["bit"]))
    for t, bit in enumerate(inputs["bit"]):
        ones, zeros = ones + bit, zeros + 1 - bit
        more[t] = 1.0 if round(ones) > round(zeros) else 0.0
    return {"more": more}, {"ones": np.array(ones), "zeros": np.array(zeros)}
