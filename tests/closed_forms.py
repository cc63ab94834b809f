"""What the references are compared with: sums over the prefix, masks and products of transitions."""

from __future__ import annotations

import numpy as np
import torch

from tests.references import load, random_case
from tests.references.ports import SIZES, Array, Arrays

STEPS = 17


def from_zero(name: str, inputs: Arrays, params: Arrays) -> tuple[Arrays, Arrays]:
    module = load(name)
    return module.reference(inputs, params, module.start(params, {**module.CONSTANTS, **SIZES}))


def case(name: str, rng: np.random.Generator, T: int = STEPS) -> tuple[Arrays, Arrays, Arrays, Arrays]:
    """Random inputs and params, and the reference's outputs and final state for them."""
    inputs, params = random_case(name, T, SIZES, rng)
    return inputs, params, *from_zero(name, inputs, params)


def torched(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.asarray(x, dtype=np.float64))


def decay_products(a: Array) -> Array:
    """`L[t, s]` = a[s + 1] * ... * a[t], 1 on the diagonal, 0 above it; any trailing axes."""
    T = len(a)
    L = np.zeros((T, *a.shape), np.result_type(a, float))
    for s in range(T):
        L[s, s] = 1
        L[s + 1 :, s] = np.cumprod(a[s + 1 :], axis=0)
    return L


def causal(T: int) -> Array:
    return np.tril(np.ones((T, T)))


def dense_products(transitions: Array, writes: Array, start: Array) -> Array:
    """`S[t]` as a sum over s of (transitions[t] @ ... @ transitions[s + 1]) @ writes[s], and of all of them @ start."""
    states = np.zeros_like(writes)
    for t in range(len(writes)):
        product = np.eye(transitions.shape[-1])
        for s in range(t, -1, -1):
            states[t] += product @ writes[s]
            product = product @ transitions[s]
        states[t] += product @ start
    return states
