"""The loops in torch that `cpu.py` compares with and `scan.py` does not have, written as those of `eager.py` are.

Arguments and results are those of the compiled modules, `(B, T, *lanes, *features)`; `gru` and `lstm` are layers with
the weights of `torch.nn.GRU` and `torch.nn.LSTM`.
"""

from __future__ import annotations

import eager
import torch
from eager import lanes, rows
from torch import Tensor
from torch.nn.functional import linear, softplus


def gates_of_rg_lru(x: Tensor, r: Tensor, i: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    """What `h` is multiplied by, and what is added, for all steps."""
    log_a = -8 * softplus(lam) * torch.sigmoid(r)
    return torch.exp(log_a), torch.sqrt(-torch.expm1(2 * log_a)) * (torch.sigmoid(i) * x)


def rg_lru(x: Tensor, r: Tensor, i: Tensor, lam: Tensor) -> Tensor:
    """`x, r, i (B, T, D)`, `lam (D)` to `(B, T, D)`."""
    return eager.linear_scan(*gates_of_rg_lru(x, r, i, lam))


def mingru(z: Tensor, x: Tensor) -> Tensor:
    """`z, x (B, T, D)` to `(B, T, D)`."""
    gate = torch.sigmoid(z)
    return eager.linear_scan(1 - gate, gate * x)


def mamba(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, skip: Tensor) -> Tensor:
    """`x, dt (B, T, D)`, `B, C (B, T, N)`, `A_log (D, N)`, `skip (D)` to `(B, T, D)`."""
    delta, A = softplus(dt), -A_log.exp()
    driven, h, outputs = (delta * x)[..., None], x.new_zeros(x.shape[0], *A.shape), []
    columns = (delta[..., None], driven, B[:, :, None], C[..., None])
    for delta_t, driven_t, B_t, C_t in zip(*(column.unbind(1) for column in columns), strict=True):
        h = (torch.exp(delta_t * A) * h).addcmul_(driven_t, B_t)
        outputs.append(torch.bmm(h, C_t))
    return torch.stack(outputs, 1).squeeze(-1) + skip * x


def deltaproduct(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> Tensor:
    """`q (B, T, H, K)`, `k (B, T, H, n, K)`, `v (B, T, H, n, V)`, `beta (B, T, H, n)`, `g (B, T, H)` to `v`'s shape
    without `n`."""
    S = q.new_zeros(q.shape[0] * q.shape[2], q.shape[-1], v.shape[-1])
    driven, outputs = rows(beta[..., None] * k)[..., None].unbind(), []
    decays = rows(g.exp()[..., None])[..., None].unbind()
    steps = zip(rows(q)[:, :, None].unbind(), rows(k).unbind(), rows(v).unbind(), driven, decays, strict=True)
    for q_t, k_t, v_t, driven_t, decay_t in steps:
        S = S * decay_t
        for j in range(k.shape[-2]):
            error = torch.baddbmm(v_t[:, j, None], k_t[:, j, None], S, alpha=-1)
            S = torch.addcmul(S, driven_t[:, j], error)
        outputs.append(torch.bmm(q_t, S))
    return lanes(outputs, q)


def gru(x: Tensor, W: Tensor, U: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    """`x (B, T, D)`, `W, U (3 D, D)`, `b_x, b_h (3 D)` to `(B, T, D)`."""
    D = x.shape[-1]
    ahead = torch.cat((b_h[: 2 * D], torch.zeros_like(b_h[2 * D :])))
    parts, h, outputs = linear(x, W, b_x + ahead).chunk(3, -1), torch.zeros_like(x[:, 0]), []
    for r_t, z_t, n_t in zip(*(part.unbind(1) for part in parts), strict=True):
        _, h = eager.gru_step(h, r_t, z_t, n_t, U.mT, b_h[2 * D :])
        outputs.append(h)
    return torch.stack(outputs, 1)


def lstm(x: Tensor, W: Tensor, U: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    """`x (B, T, D)`, `W, U (4 D, D)`, `b_x, b_h (4 D)` to `(B, T, D)`."""
    h = c = torch.zeros_like(x[:, 0])
    outputs = []
    for x_t in linear(x, W, b_x + b_h).unbind(1):
        i, f, g, o = torch.addmm(x_t, h, U.mT).chunk(4, -1)
        c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), torch.tanh(g))
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, 1)


def torch_layer(kind: type[torch.nn.GRU] | type[torch.nn.LSTM], x: Tensor, **weights: Tensor) -> Tensor:
    """The same by `torch.nn.GRU` or `torch.nn.LSTM`."""
    module = kind(x.shape[-1], x.shape[-1], batch_first=True, device="meta")
    names = zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), ("W", "U", "b_x", "b_h"), strict=True)
    return torch.func.functional_call(module, {theirs: weights[ours] for theirs, ours in names}, (x,))[0]
