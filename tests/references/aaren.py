"""Aaren (Feng, Tung, Hajimirsadeghi, Ahmed, Bengio, Mori 2024, arXiv 2405.13956): attention with a running maximum."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Array, Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"k": Port("K"), "v": Port("V")},
    "params": {"q": Port("K")},
    "states": {"w": Port("V"), "u": Port(), "m": Port()},
    "outputs": {"o": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"w": np.zeros(sizes["V"]), "u": np.array(0.0), "m": np.array(-np.inf)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    k, v = inputs["k"], inputs["v"]
    (T, V), K = v.shape, k.shape[1]
    w, u, m, o = state["w"].copy(), float(state["u"]), float(state["m"]), np.zeros((T, V))
    for t in range(T):
        score = sum(params["q"][a] * k[t, a] for a in range(K))
        m_old, m = m, max(m, score)
        u = u * math.exp(m_old - m) + math.exp(score - m)
        for b in range(V):
            w[b] = w[b] * math.exp(m_old - m) + v[t, b] * math.exp(score - m)
            o[t, b] = w[b] / u
    return {"o": o}, {"w": w, "u": np.array(u), "m": np.array(m)}


def closed_form(inputs: Arrays, params: Arrays) -> Array:
    """`o` from the start as softmax attention of the one query over every prefix."""
    (T, V), K = inputs["v"].shape, inputs["k"].shape[1]
    o = np.zeros((T, V))
    for t in range(T):
        scores = [sum(params["q"][a] * inputs["k"][s, a] for a in range(K)) for s in range(t + 1)]
        for b in range(V):
            # dividing by exp(scores[s]) first needs no maximum: softmax weights from pairwise differences
            o[t, b] = sum(inputs["v"][s, b] / sum(math.exp(r - scores[s]) for r in scores) for s in range(t + 1))
    return o
