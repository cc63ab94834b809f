"""Flow-Attention, causal (Wu, Wu, Xu, Wang, Long 2022, arXiv 2202.06258), without eps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import sigmoid
from .ports import Arrays, Port, extents

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"q": Port("K"), "k": Port("K"), "v": Port("V")},
    "params": {},
    "states": {
        "sk": Port("K"),
        "sq": Port("K"),
        "sko": Port("K"),
        "sqi": Port("K"),
        "E": Port(),
        "KV": Port("K V"),
        "t": Port(),
    },
    "outputs": {"y": Port("V")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {name: np.zeros(extents(port, sizes)) for name, port in SHAPES["states"].items()}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, V), K = inputs["v"].shape, inputs["q"].shape[1]
    sk, sq, sko, sqi, KV = (state[name].copy() for name in ("sk", "sq", "sko", "sqi", "KV"))
    E, n, y = float(state["E"]), float(state["t"]), np.zeros((T, V))
    for t in range(T):
        n += 1
        q = [sigmoid(x) for x in inputs["q"][t]]
        k = [sigmoid(x) for x in inputs["k"][t]]
        for a in range(K):
            sk[a] += k[a]
            sq[a] += q[a]
        incoming = n / sum(q[a] * sk[a] for a in range(K))
        outgoing = n / sum(k[a] * sq[a] for a in range(K))
        for a in range(K):
            sko[a] += outgoing * k[a]
            sqi[a] += incoming * q[a]
        sink = sum(q[a] * sko[a] for a in range(K)) / n
        weight = math.exp(min(max(sum(k[a] * sqi[a] for a in range(K)) / n, -1), 1))
        E += weight
        for b in range(V):
            for a in range(K):
                KV[a, b] += n * weight / E * k[a] * inputs["v"][t, b]
                y[t, b] += sigmoid(sink) * incoming / n * q[a] * KV[a, b]
    return {"y": y}, {"sk": sk, "sq": sq, "sko": sko, "sqi": sqi, "E": np.array(E), "KV": KV, "t": np.array(n)}
