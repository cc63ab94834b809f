"""Fast weights (Ba, Hinton, Mnih, Leibo, Ionescu 2016, arXiv 1610.06258).

The fast weights take up the state before the step; layer normalisation without gain or bias, and 1e-5 to the variance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, relu
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"inner": 1, "decay": 0.95, "rate": 0.5}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": ports("U", "D D", "mixing"),
    "states": {**ports("h", "D"), **ports("A", "D D")},
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def normalised(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return [(value - mean) / math.sqrt(variance + 1e-5) for value in values]


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    h, A, out = state["h"].copy(), state["A"].copy(), np.zeros((T, D))
    for t in range(T):
        for a in range(D):
            for b in range(D):
                A[a, b] = CONSTANTS["decay"] * A[a, b] + CONSTANTS["rate"] * h[a] * h[b]
        sustained = [inputs["x"][t, d] + into(d, h, params["U"]) for d in range(D)]
        settling = [relu(value) for value in sustained]
        for _ in range(int(CONSTANTS["inner"])):
            settling = [relu(v) for v in normalised([sustained[d] + into(d, settling, A) for d in range(D)])]
        h = np.array(settling)
        out[t] = h
    return {"h": out}, {"h": h, "A": A}
