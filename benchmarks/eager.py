"""What the compiled modules are compared with: the loop that a careful person writes in torch.

Everything that does not depend on the state is computed for all steps at once, before the loop or after it; rows are
flattened so that a step is `bmm`, `baddbmm` and `addcmul`, not `matmul` on four dimensions; nothing is allocated that
neither the next step nor autograd needs. Arguments and results are those of the compiled modules:
`(B, T, *lanes, *features)`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad, softplus


def rows(x: Tensor) -> Tensor:
    """`(B, T, H, ...)` as `(T, B * H, ...)`."""
    return x.movedim(1, 0).flatten(1, 2)


def lanes(outputs: list[Tensor], like: Tensor) -> Tensor:
    """Steps `(B * H, 1, V)` as `(B, T, H, V)`, where `like` is `(B, T, H, ...)`."""
    return torch.stack(outputs, 1).squeeze(2).unflatten(0, (like.shape[0], like.shape[2])).transpose(1, 2)


def linear_scan(a: Tensor, x: Tensor) -> Tensor:
    """`a, x (B, T, D)` to `(B, T, D)`."""
    h, outputs = torch.zeros_like(x[:, 0]), []
    for a_t, x_t in zip(a.unbind(1), x.unbind(1), strict=True):
        h = torch.addcmul(x_t, a_t, h)
        outputs.append(h)
    return torch.stack(outputs, 1)


def lru(u: Tensor, nu: Tensor, theta: Tensor, C: Tensor) -> Tensor:
    """`u (B, T, N)`, `nu, theta (N)`, `C (M, N)` to `(B, T, M)`."""
    decay = torch.exp(torch.complex(-torch.exp(nu), torch.exp(theta)))
    driven = torch.sqrt(-torch.expm1(-2 * torch.exp(nu))) * u
    h, states = torch.zeros_like(u[:, 0]), []
    for u_t in driven.unbind(1):
        h = torch.addcmul(u_t, decay, h)
        states.append(h)
    return (torch.stack(states, 1) @ C.mT).real


def decayed(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> list[Tensor]:
    """Steps of `q S`, `(R, 1, V)`, for `S = decay S + outer(k, v)`.

    `q, k (T, R, K)`, `v (T, R, V)`, `decay (T, R, K or 1)`."""
    S, outputs = q.new_zeros(q.shape[1], q.shape[2], v.shape[2]), []
    steps = zip(
        q[:, :, None].unbind(), k[..., None].unbind(), v[:, :, None].unbind(), decay[..., None].unbind(), strict=True
    )
    for q_t, k_t, v_t, decay_t in steps:
        S = (S * decay_t).addcmul_(k_t, v_t)
        outputs.append(torch.bmm(q_t, S))
    return outputs


def gla(q: Tensor, k: Tensor, v: Tensor, gk: Tensor) -> Tensor:
    """`q, k, gk (B, T, H, K)`, `v (B, T, H, V)` to `(B, T, H, V)`."""
    return lanes(decayed(rows(q), rows(k), rows(v), rows(gk.exp())), v)


def mamba2(x: Tensor, dt: Tensor, B: Tensor, C: Tensor, A_log: Tensor, D: Tensor) -> Tensor:
    """`x (B, T, H, P)`, `dt (B, T, H)`, `B, C (B, T, H, N)`, `A_log, D (H)` to `(B, T, H, P)`."""
    delta = softplus(dt)[..., None]
    decay = torch.exp(-delta * A_log.exp()[:, None])
    return lanes(decayed(rows(C), rows(delta * B), rows(x), rows(decay)), x) + D[:, None] * x


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """`q, k (B, T, H, K)`, `v (B, T, H, V)`, `i, f (B, T, H)` to `(B, T, H, V)`."""
    log_f = logsigmoid(f)
    m, kept = torch.full_like(i[:, 0], -torch.inf), []
    for f_t, i_t in zip(log_f.unbind(1), i.unbind(1), strict=True):
        m = torch.maximum(f_t + m, i_t)
        kept.append(m)
    now = torch.stack(kept, 1)
    before = torch.cat((torch.full_like(now[:, :1], -torch.inf), now[:, :-1]), 1)
    decay, gain = torch.exp(log_f + before - now)[..., None], torch.exp(i - now)[..., None]
    # The normaliser is one more column of the state, which a value of one drives.
    o = lanes(decayed(rows(q), rows(gain * k), rows(pad(v, (0, 1), value=1.0)), rows(decay)), v)
    return o[..., :-1] / torch.maximum(o[..., -1:].abs(), torch.exp(-now)[..., None])


def deltanet(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
    """`q, k (B, T, H, K)`, `v (B, T, H, V)`, `beta (B, T, H)` to `(B, T, H, V)`."""
    driven, keys = rows(beta[..., None] * k)[..., None].unbind(), rows(k)[:, :, None].unbind()
    S, outputs = q.new_zeros(driven[0].shape[0], q.shape[-1], v.shape[-1]), []
    steps = zip(rows(q)[:, :, None].unbind(), keys, rows(v)[:, :, None].unbind(), driven, strict=True)
    for q_t, k_t, v_t, driven_t in steps:
        S = torch.addcmul(S, driven_t, torch.baddbmm(v_t, k_t, S, alpha=-1))
        outputs.append(torch.bmm(q_t, S))
    return lanes(outputs, v)


def gated_deltanet(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """As `deltanet`, with `g (B, T, H)`."""
    decay = g.exp()[..., None]
    driven, keys = rows(beta[..., None] * k)[..., None].unbind(), rows(decay * k)[:, :, None].unbind()
    S, outputs = q.new_zeros(driven[0].shape[0], q.shape[-1], v.shape[-1]), []
    decays = rows(decay)[..., None].unbind()
    steps = zip(rows(q)[:, :, None].unbind(), keys, rows(v)[:, :, None].unbind(), driven, decays, strict=True)
    for q_t, k_t, v_t, driven_t, decay_t in steps:
        error = torch.baddbmm(v_t, k_t, S, alpha=-1)
        S = (S * decay_t).addcmul_(driven_t, error)
        outputs.append(torch.bmm(q_t, S))
    return lanes(outputs, v)


def gated_deltanet_step(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """One token: `S (B, H, K, V)`, `q, k (B, H, K)`, `v (B, H, V)`, `g, beta (B, H)`.

    Returns `o (B, H, V)` and the new `S`."""
    S = S * g.exp()[..., None, None]
    error = v - (k[..., None, :] @ S).squeeze(-2)
    S = S.addcmul_((beta[..., None] * k)[..., None], error[..., None, :])
    return (q[..., None, :] @ S).squeeze(-2), S


def gru_step(h: Tensor, x_r: Tensor, x_z: Tensor, x_n: Tensor, U: Tensor, b_n: Tensor) -> tuple[Tensor, Tensor]:
    """One token: `h, x_r, x_z, x_n (B, D)`, `U (D, 3 D)` the three weights side by side; returns the new `h` twice."""
    u_r, u_z, u_n = (h @ U).chunk(3, -1)
    r, z = torch.sigmoid(x_r + u_r), torch.sigmoid(x_z + u_z)
    n = torch.tanh(torch.addcmul(x_n, r, u_n + b_n))
    h = torch.lerp(n, h, z)
    return h, h


def gru(x_r: Tensor, x_z: Tensor, x_n: Tensor, U_r: Tensor, U_z: Tensor, U_n: Tensor, b_n: Tensor) -> Tensor:
    """`x_r, x_z, x_n (B, T, D)`, `U_r, U_z, U_n (D, D)`, `b_n (D)` to `(B, T, D)`."""
    U, h, outputs = torch.cat((U_r, U_z, U_n), 1), torch.zeros_like(x_n[:, 0]), []
    for r_t, z_t, n_t in zip(x_r.unbind(1), x_z.unbind(1), x_n.unbind(1), strict=True):
        _, h = gru_step(h, r_t, z_t, n_t, U, b_n)
        outputs.append(h)
    return torch.stack(outputs, 1)
