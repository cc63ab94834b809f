"""Forward algorithm of a hidden Markov model (Rabiner 1989, equations (19) to (21)), in logarithms.

A transition comes before the first observation, from a state that `log_pi` draws.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .functions import logsumexp
from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {}
SHAPES = {
    "inputs": {"e": Port("N")},
    "params": {"log_A": Port("N N", "log transitions"), "log_pi": Port("N", "log probabilities")},
    "states": {"a": Port("N")},
    "outputs": {"alpha": Port("N"), "loglik": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"a": params["log_pi"].copy()}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    e, log_A = inputs["e"], params["log_A"]
    T, N = e.shape
    a, alpha, loglik = state["a"].copy(), np.zeros((T, N)), np.zeros(T)
    for t in range(T):
        old = a.copy()
        for j in range(N):
            a[j] = logsumexp([old[i] + log_A[i, j] for i in range(N)]) + e[t, j]
        alpha[t], loglik[t] = a, logsumexp(list(a))
    return {"alpha": alpha, "loglik": loglik}, {"a": a}
