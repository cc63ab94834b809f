"""The chunkwise form of recurrences with a matrix state, as one writes it in torch.

Everything inside of chunks is a product of matrices, for all chunks at once; the loop over chunks has one or two `bmm`
on the state, and what reads it comes after the loop. Arguments and results are those of the compiled modules; the
number of steps is a multiple of `chunk`. Sources: Yang et al. 2023 (2312.06635, gla), 2024 (2406.06484 and 2412.06464,
delta rules), Beck et al. 2025 (2503.14376, mlstm).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def chunks(x: Tensor, size: int) -> Tensor:
    """`(B, T, H, ...)` as `(T / size, B * H, size, ...)`."""
    return x.unflatten(1, (-1, size)).movedim((1, 3), (0, 2)).flatten(1, 2)


def joined(o: Tensor, batch: int) -> Tensor:
    """The inverse of `chunks`."""
    return o.unflatten(1, (batch, -1)).movedim((0, 2), (1, 3)).flatten(1, 2)


def entries(decays: Tensor, driven: Tensor) -> Tensor:
    """The states at the entry of each chunk: `S' = decay S + driven`, from zero; all `(N, R, K, V)` or broadcast."""
    states = [torch.zeros_like(driven[0])]
    for decay, drive in zip(decays[:-1].unbind(), driven[:-1].unbind(), strict=True):
        states.append(torch.addcmul(drive, decay, states[-1]))
    return torch.stack(states)


def pairs(G: Tensor, rows: Tensor | None = None) -> Tensor:
    """`exp(G_i - G_j)` for `j <= i`, else zero: `(N, R, C, C)` of sums of log decays `(N, R, C)`.

    `rows` are the `i` that are wanted."""
    late = G if rows is None else G[..., rows]
    places = torch.arange(G.shape[-1])
    seen = (places if rows is None else rows)[:, None] >= places
    return torch.exp((late[..., None] - G[..., None, :]).masked_fill(~seen, -torch.inf))


def gla(q: Tensor, k: Tensor, v: Tensor, gk: Tensor, chunk: int) -> Tensor:
    """A chunk's decay must not be so small that its inverse overflows, which 64 steps of usual gates are far from."""
    q, k, v, g = (chunks(x, chunk) for x in (q, k, v, gk))
    batch = gk.shape[0]
    G = g.cumsum(2)
    end = G[:, :, -1:]
    queries, keys = q * G.exp(), k * (-G).exp()
    S = entries(end.exp().mT, (k * (end - G).exp()).mT @ v)
    return joined(torch.tril(queries @ keys.mT) @ v + queries @ S, batch)


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, chunk: int) -> Tensor:
    """The stabiliser is a running maximum; the result does not depend on it, so neither does a gradient."""
    log_f = logsigmoid(f)
    with torch.no_grad():
        F = log_f.cumsum(1)
        m = F + torch.cummax(i - F, 1).values
        before = torch.cat((m[:, :1] - log_f[:, :1], m[:, :-1]), 1)
    batch = q.shape[0]
    gain = torch.exp(i - m)[..., None] * k
    q, k, v, g, m = (chunks(x, chunk) for x in (q, gain, v, log_f + before - m, m))
    G = g.cumsum(2)
    end = G[:, :, -1:]
    weights = (q @ k.mT) * pairs(G)
    late, decay = k * torch.exp(end - G)[..., None], end.exp()[..., None]
    queries = q * G.exp()[..., None]
    C, n = entries(decay, late.mT @ v), entries(decay, late.sum(2, keepdim=True).mT)
    norm = weights.sum(-1, keepdim=True) + queries @ n
    return joined((weights @ v + queries @ C) / torch.maximum(norm.abs(), torch.exp(-m)[..., None]), batch)


def delta(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, G: Tensor, every: int) -> Tensor:
    """Delta rules in chunks `(N, R, C, ...)`, read after each `every`-th by `q (N, R, C / every, K)`.

    `G` are the sums of log decays from a chunk's start. The errors `U = (I + L)^-1 (b V - b exp(G) K S)` of a chunk
    follow from its entry state, where `L_ij = b_i exp(G_i - G_j) k_i . k_j` below the diagonal."""
    decay, scaled, size = pairs(G), beta[..., None] * k, k.shape[2]
    L = torch.tril((scaled @ k.mT) * decay, -1)
    right = torch.cat((scaled * G.exp()[..., None], beta[..., None] * v), -1)
    W, U = torch.linalg.solve_triangular(L, right, upper=False, unitriangular=True).split(
        (k.shape[-1], v.shape[-1]), -1
    )
    end = G[:, :, -1:]
    late, last = (k * torch.exp(end - G)[..., None]).mT, end.exp()[..., None]
    S, states, errors = k.new_zeros(k.shape[1], k.shape[-1], v.shape[-1]), [], []
    for W_c, U_c, late_c, last_c in zip(W.unbind(), U.unbind(), late.unbind(), last.unbind(), strict=True):
        error = torch.baddbmm(U_c, W_c, S, alpha=-1)
        states.append(S)
        errors.append(error)
        S = torch.baddbmm(last_c * S, late_c, error)
    read = torch.arange(every - 1, size, every)
    weights = (q @ k.mT) * (decay if every == 1 else pairs(G, read))
    return weights @ torch.stack(errors) + (q * G[..., read].exp()[..., None]) @ torch.stack(states)


def gated_deltanet(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, chunk: int) -> Tensor:
    batch = q.shape[0]
    q, k, v, g, beta = (chunks(x, chunk) for x in (q, k, v, g, beta))
    return joined(delta(q, k, v, beta, g.cumsum(2), 1), batch)


def deltaproduct(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor, chunk: int) -> Tensor:
    """`n` delta rules a token are `n` tokens of which the first decays and the last is read."""
    batch, n = q.shape[0], k.shape[-2]
    k, v, beta = (chunks(x, chunk).flatten(2, 3) for x in (k, v, beta))
    G = chunks(g, chunk).cumsum(2).repeat_interleave(n, 2)
    return joined(delta(chunks(q, chunk), k, v, beta, G, n), batch)
