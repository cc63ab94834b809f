"""RWKV-4 (Peng et al. 2023, arXiv 2305.13048): the numerically stable form of WKV."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"k": Port("D"), "v": Port("D")},
    "params": {"w": Port("D"), "u": Port("D")},
    "states": {"a": Port("D"), "b": Port("D"), "p": Port("D")},
    "outputs": {"o": Port("D")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    D = sizes["D"]
    return {"a": np.zeros(D), "b": np.zeros(D), "p": np.full(D, -np.inf)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    k, v = inputs["k"], inputs["v"]
    T, D = k.shape
    a, b, p, o = state["a"].copy(), state["b"].copy(), state["p"].copy(), np.zeros((T, D))
    for t in range(T):
        for d in range(D):
            bonus = params["u"][d] + k[t, d]
            top = max(p[d], bonus)
            past, now = math.exp(p[d] - top), math.exp(bonus - top)
            o[t, d] = (past * a[d] + now * v[t, d]) / (past * b[d] + now)
            decayed = p[d] - math.exp(params["w"][d])
            p[d] = max(decayed, k[t, d])
            past, now = math.exp(decayed - p[d]), math.exp(k[t, d] - p[d])
            a[d] = past * a[d] + now * v[t, d]
            b[d] = past * b[d] + now
    return {"o": o}, {"a": a, "b": b, "p": p}
