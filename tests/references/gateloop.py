"""GateLoop (Katsch 2023, arXiv 2311.01927) with one key-value channel a lane, so that the state is a vector."""

from __future__ import annotations

import cmath
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("D"), "k": Port("D"), "v": Port("D"), "alpha": Port("D"), "beta": Port("D")},
    "params": {},
    "states": {"h": Port("D", "complex")},
    "outputs": {"y": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"h": np.zeros(sizes["D"], dtype=np.complex128)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    T, D = q.shape
    h, y = state["h"].astype(np.complex128), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            gate = cmath.rect(sigmoid(inputs["alpha"][t, d]), inputs["beta"][t, d])
            h[d] = gate * h[d] + k[t, d] * v[t, d]
            y[t, d] = q[t, d] * h[d].real
    return {"y": y}, {"h": h}
