"""LSRL (Petrov et al. 2024): in-context recall of the token that first followed the current one; tokens are one-hot.

M[a, b] is 1 where b came after the first a, seen[a] counts the a's that had a follower.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"x": Port("V", "one-hot")},
    "params": {},
    "states": {"last": Port("V"), "seen": Port("V"), "M": Port("V V")},
    "outputs": {"recall": Port("V"), "hit": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"last": np.zeros(sizes["V"]), "seen": np.zeros(sizes["V"]), "M": np.zeros((sizes["V"], sizes["V"]))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x = inputs["x"]
    T, V = x.shape
    last, seen, M = state["last"].copy(), state["seen"].copy(), state["M"].copy()
    recall, hit = np.zeros((T, V)), np.zeros(T)
    for t in range(T):
        new = round(sum(last[a] * seen[a] for a in range(V))) == 0
        for a in range(V):
            for b in range(V):
                M[a, b] += last[a] * x[t, b] if new else 0.0
                recall[t, b] += M[a, b] * x[t, a]
            seen[a] += last[a]
        last, hit[t] = x[t].copy(), sum(recall[t])
    return {"recall": recall, "hit": hit}, {"last": last, "seen": seen, "M": M}
