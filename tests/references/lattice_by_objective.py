"""Lattice (Karami, Mirrokni 2025) as online learning: a step of size gamma on L(S) = |v - phi(S)^T k|^2 / 2.

The slots phi(S) are the rows of S over their lengths, so the Jacobian of one slot is (I - phi phi^T) / |s|.
"""

from __future__ import annotations

import numpy as np

from .lattice import CONSTANTS, SHAPES, start
from .ports import Arrays

__all__ = ["CONSTANTS", "SHAPES", "reference", "start"]


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    q, k, v, gamma = inputs.values()
    S, o = state["S"].copy(), np.zeros_like(v)
    for t in range(len(q)):
        norms = np.linalg.norm(S, axis=1)
        slots = S / norms[:, None]
        d_slots = np.outer(k[t], slots.T @ k[t] - v[t])
        jacobians = (np.eye(S.shape[1]) - slots[:, :, None] * slots[:, None, :]) / norms[:, None, None]
        S = S - gamma[t] * np.einsum("kij,kj->ki", jacobians, d_slots)
        o[t] = (S / np.linalg.norm(S, axis=1, keepdims=True)).T @ q[t]
    return {"o": o}, {"S": S}
