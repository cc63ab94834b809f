"""Elementwise recurrences by torch's `associative_scan`, to be compiled.

A matrix state would make it keep T states, and their products log T times over; `scan.py` has the figures.
"""

from __future__ import annotations

import associative
import torch
from associative import affine, solved
from cpu_eager import gates_of_rg_lru
from torch import Tensor
from torch.nn.functional import softplus

linear_scan = associative.linear_scan


def rg_lru(x: Tensor, r: Tensor, i: Tensor, lam: Tensor) -> Tensor:
    """`x, r, i (B, T, D)`, `lam (D)` to `(B, T, D)`."""
    return solved(affine, *gates_of_rg_lru(x, r, i, lam))


def mingru(z: Tensor, x: Tensor) -> Tensor:
    """`z, x (B, T, D)` to `(B, T, D)`."""
    gate = torch.sigmoid(z)
    return solved(affine, 1 - gate, gate * x)


def mamba(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, skip: Tensor) -> Tensor:
    """`x, dt (B, T, D)`, `B, C (B, T, N)`, `A_log (D, N)`, `skip (D)` to `(B, T, D)`."""
    delta = softplus(dt)
    h = solved(affine, torch.exp(-delta[..., None] * A_log.exp()), (delta * x)[..., None] * B[:, :, None])
    return (h @ C[..., None]).squeeze(-1) + skip * x
