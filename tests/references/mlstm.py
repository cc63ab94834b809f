"""mLSTM (Beck et al. 2024, xLSTM, arXiv 2405.04517), equations (19) to (27), stabilised as in (15) to (17).

Queries are used as given, the stabiliser starts at -inf.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import logsigmoid, sigmoid
from .ports import Array, Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V"), "i": Port(), "f": Port()},
    "params": {},
    "states": {"C": Port("K V"), "n": Port("K"), "m": Port()},
    "outputs": {"h": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"C": np.zeros((sizes["K"], sizes["V"])), "n": np.zeros(sizes["K"]), "m": np.array(-np.inf)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    C, n, m, h = state["C"].copy(), state["n"].copy(), float(state["m"]), np.zeros((T, V))
    for t in range(T):
        log_f, log_i = logsigmoid(inputs["f"][t]), inputs["i"][t]
        m_old, m = m, max(log_f + m, log_i)
        forget, gain = math.exp(log_f + m_old - m), math.exp(log_i - m)
        normaliser = 0.0
        for a in range(K):
            n[a] = forget * n[a] + gain * k[t, a]
            normaliser += n[a] * q[t, a]
            for b in range(V):
                C[a, b] = forget * C[a, b] + gain * k[t, a] * v[t, b]
                h[t, b] += C[a, b] * q[t, a]
        for b in range(V):
            h[t, b] /= max(abs(normaliser), math.exp(-m))
    return {"h": h}, {"C": C, "n": n, "m": np.array(m)}


def closed_form(inputs: Arrays) -> Array:
    """`h` from the zero start without any stabiliser: gated sums over the prefix, over max(abs(n^T q), 1)."""
    q, k, v = inputs["q"], inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    h = np.zeros((T, V))
    for t in range(T):
        total, weight = 0.0, 1.0
        for s in range(t, -1, -1):
            weight *= sigmoid(inputs["f"][s + 1]) if s < t else 1.0
            score = weight * math.exp(inputs["i"][s]) * sum(q[t, a] * k[s, a] for a in range(K))
            total += score
            for b in range(V):
                h[t, b] += score * v[s, b]
        for b in range(V):
            h[t, b] /= max(abs(total), 1.0)
    return h
