"""The same recurrences by torch's own `associative_scan` (`combine_mode="generic"`), where it fits.

It needs every element of the scan in memory, so a matrix state takes T states, and their products log T times over.
Where the transition is a matrix (DeltaNet), an element would be a K x K product more; nobody computes it so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.associative_scan import associative_scan
from torch.nn.functional import logsigmoid, pad, softplus

Pair = tuple[Tensor, Tensor]


def affine(earlier: Pair, later: Pair) -> Pair:
    """The composition of `h -> a h + b`."""
    return later[0] * earlier[0], later[0] * earlier[1] + later[1]


def raising(earlier: Pair, later: Pair) -> Pair:
    """The composition of `m -> max(m + f, i)`."""
    return earlier[0] + later[0], torch.maximum(earlier[1] + later[0], later[1])


def solved(combine: Any, a: Tensor, b: Tensor) -> Tensor:
    result: Any = associative_scan(combine, (a, b), 1, combine_mode="generic")
    return result[1]


def linear_scan(a: Tensor, x: Tensor) -> Tensor:
    """`a, x (B, T, D)` to `(B, T, D)`."""
    return solved(affine, a, x)


def lru(u: Tensor, nu: Tensor, theta: Tensor, C: Tensor) -> Tensor:
    """`u (B, T, N)`, `nu, theta (N)`, `C (M, N)` to `(B, T, M)`."""
    decay = torch.exp(torch.complex(-torch.exp(nu), torch.exp(theta)))
    driven = torch.sqrt(-torch.expm1(-2 * torch.exp(nu))) * u
    return (solved(affine, decay.expand_as(u), driven) @ C.mT).real


def decayed(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    """`q S` for `S = decay S + outer(k, v)`; `decay (B, T, H, K or 1)`."""
    S = solved(affine, decay[..., None], k[..., None] * v[..., None, :])
    return (q[..., None, :] @ S).squeeze(-2)


def gla(q: Tensor, k: Tensor, v: Tensor, gk: Tensor) -> Tensor:
    """`q, k, gk (B, T, H, K)`, `v (B, T, H, V)` to `(B, T, H, V)`."""
    return decayed(q, k, v, gk.exp())


def mamba2(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, D: Tensor) -> Tensor:
    """`x (B, T, H, P)`, `dt (B, T, H)`, `B, C (B, T, H, N)`, `A_log, D (H)` to `(B, T, H, P)`."""
    delta = softplus(dt)[..., None]
    return decayed(C, delta * B, x, torch.exp(-delta * A_log.exp()[:, None])) + D[:, None] * x


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """`q, k (B, T, H, K)`, `v (B, T, H, V)`, `i, f (B, T, H)` to `(B, T, H, V)`."""
    log_f = logsigmoid(f)
    now = solved(raising, log_f, i)
    before = torch.cat((torch.full_like(now[:, :1], -torch.inf), now[:, :-1]), 1)
    decay, gain = torch.exp(log_f + before - now)[..., None], torch.exp(i - now)[..., None]
    o = decayed(q, gain * k, pad(v, (0, 1), value=1.0), decay)
    return o[..., :-1] / torch.maximum(o[..., -1:].abs(), torch.exp(-now)[..., None])
