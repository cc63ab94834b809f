"""The loop as the equations stand in a paper, one step of all of them after the other: what most people write first.

Arguments and results are those of the compiled modules: `(B, T, *lanes, *features)`, as in `eager.py`. The backward
pass takes quadratic time, because the gradient of `x[:, t]` is a tensor as large as `x`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus


def outer(x: Tensor, y: Tensor) -> Tensor:
    """`(..., K)` and `(..., V)` to `(..., K, V)`."""
    return x[..., None] * y[..., None, :]


def applied(x: Tensor, matrix: Tensor) -> Tensor:
    """`(..., K)` and `(..., K, V)` to `(..., V)`."""
    return (x[..., None, :] @ matrix)[..., 0, :]


def zeros(x: Tensor, y: Tensor) -> Tensor:
    """A state `(B, H, K, V)` for inputs `(B, T, H, K)` and `(B, T, H, V)`."""
    return x.new_zeros(*x[:, 0].shape, y.shape[-1])


def linear_scan(a: Tensor, x: Tensor) -> Tensor:
    h, outputs = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = a[:, t] * h + x[:, t]
        outputs.append(h)
    return torch.stack(outputs, 1)


def lru(u: Tensor, nu: Tensor, theta: Tensor, C: Tensor) -> Tensor:
    lam = torch.exp(-torch.exp(nu) + 1j * torch.exp(theta))
    gamma = torch.sqrt(-torch.expm1(-2 * torch.exp(nu)))
    h, outputs = torch.zeros_like(u[:, 0]), []
    for t in range(u.shape[1]):
        h = lam * h + gamma * u[:, t]
        outputs.append((h @ C.mT).real)
    return torch.stack(outputs, 1)


def gla(q: Tensor, k: Tensor, v: Tensor, gk: Tensor) -> Tensor:
    S, outputs = zeros(k, v), []
    for t in range(q.shape[1]):
        S = torch.exp(gk[:, t])[..., None] * S + outer(k[:, t], v[:, t])
        outputs.append(applied(q[:, t], S))
    return torch.stack(outputs, 1)


def mamba2(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, D: Tensor) -> Tensor:
    S, outputs = zeros(B, x), []
    for t in range(x.shape[1]):
        delta = softplus(dt[:, t])
        decay = torch.exp(-delta * torch.exp(A_log))
        S = decay[..., None, None] * S + outer(delta[..., None] * B[:, t], x[:, t])
        outputs.append(applied(C[:, t], S) + D[:, None] * x[:, t])
    return torch.stack(outputs, 1)


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    C, n, m, outputs = zeros(k, v), torch.zeros_like(k[:, 0]), torch.full_like(i[:, 0], -torch.inf), []
    for t in range(q.shape[1]):
        log_f = logsigmoid(f[:, t])
        m_new = torch.maximum(log_f + m, i[:, t])
        decay, gain = torch.exp(log_f + m - m_new)[..., None], torch.exp(i[:, t] - m_new)[..., None]
        C = decay[..., None] * C + gain[..., None] * outer(k[:, t], v[:, t])
        n = decay * n + gain * k[:, t]
        m = m_new
        normaliser = torch.maximum((q[:, t] * n).sum(-1).abs(), torch.exp(-m))
        outputs.append(applied(q[:, t], C) / normaliser[..., None])
    return torch.stack(outputs, 1)


def deltanet(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
    S, outputs = zeros(k, v), []
    for t in range(q.shape[1]):
        S = S + beta[:, t, :, None, None] * outer(k[:, t], v[:, t] - applied(k[:, t], S))
        outputs.append(applied(q[:, t], S))
    return torch.stack(outputs, 1)


def gated_deltanet(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    S, outputs = zeros(k, v), []
    for t in range(q.shape[1]):
        S = torch.exp(g[:, t])[..., None, None] * S
        S = S + beta[:, t, :, None, None] * outer(k[:, t], v[:, t] - applied(k[:, t], S))
        outputs.append(applied(q[:, t], S))
    return torch.stack(outputs, 1)
