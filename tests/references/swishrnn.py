"""SwishRNN (Lei et al. 2022, Simple Recurrence Improves Masked Language Models, arXiv 2205.11588)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x1 x2", "D"),
    "params": ports("alpha beta b_c", "D"),
    "states": ports("c", "D"),
    "outputs": ports("y", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x1"].shape
    c, out = state["c"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            above = c[d] - inputs["x1"][t, d]
            c[d] = above * sigmoid(params["alpha"][d] * above + params["beta"][d]) + inputs["x1"][t, d]
            out[t, d] = (c[d] + params["b_c"][d]) * sigmoid(inputs["x2"][t, d])
    return {"y": out}, {"c": c}
