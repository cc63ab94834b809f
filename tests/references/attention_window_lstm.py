"""First layer of the handwriting network of Graves 2013 (arXiv 1308.0850), without peepholes.

The gates i, f, g, o read the old `h` and the old window; the new window reads the new `h`. Positions count from 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into, sigmoid
from .ports import Array, Arrays, ports, zeros

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": ports("x", "4 D"),
    "params": {
        **ports("U", "4 D D", "mixing"),
        **ports("V", "4 E D", "mixing"),
        **ports("P", "3 D M", "mixing"),
        **ports("p", "3 M"),
        **ports("c", "L E"),
    },
    "states": {**ports("h s", "D"), **ports("kappa", "M"), **ports("w", "E")},
    "outputs": {**ports("h", "D"), **ports("w", "E")},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def window(params: Arrays, h: Array, kappa: Array) -> tuple[Array, Array]:
    """The window and where it now is, for what the hidden units `h` ask for."""
    (L, E), M = params["c"].shape, len(kappa)
    ask = [[math.exp(into(m, h, params["P"][j]) + params["p"][j, m]) for m in range(M)] for j in range(3)]
    moved = np.array([kappa[m] + ask[2][m] for m in range(M)])
    w = np.zeros(E)
    for u in range(1, L + 1):
        weight = sum(ask[0][m] * math.exp(-ask[1][m] * (moved[m] - u) ** 2) for m in range(M))
        for e in range(E):
            w[e] += weight * params["c"][u - 1, e]
    return w, moved


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    (T, _, D), E = inputs["x"].shape, len(state["w"])
    h, s, kappa, w = (state[name].copy() for name in ("h", "s", "kappa", "w"))
    hidden, windows = np.zeros((T, D)), np.zeros((T, E))
    for t in range(T):
        old = h.copy()
        for d in range(D):
            i, f, g, o = (
                inputs["x"][t, j, d] + into(d, old, params["U"][j]) + into(d, w, params["V"][j]) for j in range(4)
            )
            s[d] = sigmoid(f) * s[d] + sigmoid(i) * math.tanh(g)
            h[d] = sigmoid(o) * math.tanh(s[d])
        w, kappa = window(params, h, kappa)
        hidden[t], windows[t] = h, w
    return {"h": hidden, "w": windows}, {"h": h, "s": s, "kappa": kappa, "w": w}
