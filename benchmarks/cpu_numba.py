"""The same recurrences as loops in numba, forward only: rows or channels in parallel, the state in a local array.

Importing this needs numba. Arguments are NumPy arrays of the names and shapes of `cpu_eager.py`. All is float32;
`fastmath` lets sums be reordered, which recc's own kernels are not allowed to do.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

numba: Any = importlib.import_module("numba")
VERSION: str = numba.__version__
Array = Any
BLOCK = 64  # channels that one thread walks through time together
parallel = numba.njit(parallel=True, fastmath=True)
inlined = numba.njit(fastmath=True)


@inlined
def sigmoid(x: float) -> float:
    return np.float32(1) / (np.float32(1) + math.exp(-x))


@inlined
def softplus(x: float) -> float:
    return max(x, np.float32(0)) + math.log1p(math.exp(-abs(x)))


@parallel
def linear_scan(a: Array, x: Array) -> Array:
    B, T, D = x.shape
    blocks, y = (D + BLOCK - 1) // BLOCK, np.empty_like(x)
    for part in numba.prange(B * blocks):
        b, low = part // blocks, part % blocks * BLOCK
        high = min(D, low + BLOCK)
        h = np.zeros(high - low, np.float32)
        for t in range(T):
            for d in range(low, high):
                h[d - low] = a[b, t, d] * h[d - low] + x[b, t, d]
                y[b, t, d] = h[d - low]
    return y


@parallel
def mingru(z: Array, x: Array) -> Array:
    B, T, D = x.shape
    blocks, y = (D + BLOCK - 1) // BLOCK, np.empty_like(x)
    for part in numba.prange(B * blocks):
        b, low = part // blocks, part % blocks * BLOCK
        high = min(D, low + BLOCK)
        h = np.zeros(high - low, np.float32)
        for t in range(T):
            for d in range(low, high):
                h[d - low] += sigmoid(z[b, t, d]) * (x[b, t, d] - h[d - low])
                y[b, t, d] = h[d - low]
    return y


@parallel
def rg_lru(x: Array, r: Array, i: Array, lam: Array) -> Array:
    B, T, D = x.shape
    blocks, y = (D + BLOCK - 1) // BLOCK, np.empty_like(x)
    for part in numba.prange(B * blocks):
        b, low = part // blocks, part % blocks * BLOCK
        high = min(D, low + BLOCK)
        h = np.zeros(high - low, np.float32)
        for t in range(T):
            for d in range(low, high):
                log_a = np.float32(-8) * softplus(lam[d]) * sigmoid(r[b, t, d])
                gain = math.sqrt(-math.expm1(np.float32(2) * log_a)) * sigmoid(i[b, t, d])
                h[d - low] = math.exp(log_a) * h[d - low] + gain * x[b, t, d]
                y[b, t, d] = h[d - low]
    return y


@parallel
def mamba(x: Array, dt: Array, B: Array, C: Array, A_log: Array, skip: Array) -> Array:
    batch, T, D = x.shape
    N, A = A_log.shape[1], -np.exp(A_log)
    blocks, y = (D + BLOCK - 1) // BLOCK, np.empty_like(x)
    for part in numba.prange(batch * blocks):
        b, low = part // blocks, part % blocks * BLOCK
        high = min(D, low + BLOCK)
        h = np.zeros((high - low, N), np.float32)
        for t in range(T):
            for d in range(low, high):
                delta, total = softplus(dt[b, t, d]), skip[d] * x[b, t, d]
                driven = delta * x[b, t, d]
                for n in range(N):
                    h[d - low, n] = math.exp(delta * A[d, n]) * h[d - low, n] + driven * B[b, t, n]
                    total += h[d - low, n] * C[b, t, n]
                y[b, t, d] = total
    return y


@parallel
def gla(q: Array, k: Array, v: Array, gk: Array) -> Array:
    B, T, H, K = k.shape
    V, o = v.shape[3], np.zeros_like(v)
    for row in numba.prange(B * H):
        b, h = row // H, row % H
        S = np.zeros((K, V), np.float32)
        for t in range(T):
            for i in range(K):
                decay, key, query = math.exp(gk[b, t, h, i]), k[b, t, h, i], q[b, t, h, i]
                for j in range(V):
                    S[i, j] = decay * S[i, j] + key * v[b, t, h, j]
                    o[b, t, h, j] += query * S[i, j]
    return o


@parallel
def mlstm(q: Array, k: Array, v: Array, i: Array, f: Array) -> Array:
    B, T, H, K = k.shape
    V, o = v.shape[3], np.zeros_like(v)
    for row in numba.prange(B * H):
        b, h = row // H, row % H
        C, n, m = np.zeros((K, V), np.float32), np.zeros(K, np.float32), np.float32(-1e30)
        for t in range(T):
            log_f = -softplus(-f[b, t, h])
            new = max(log_f + m, i[b, t, h])
            decay, gain = math.exp(log_f + m - new), math.exp(i[b, t, h] - new)
            m, norm = new, np.float32(0)
            for c in range(K):
                key, query = gain * k[b, t, h, c], q[b, t, h, c]
                n[c] = decay * n[c] + key
                norm += query * n[c]
                for j in range(V):
                    C[c, j] = decay * C[c, j] + key * v[b, t, h, j]
                    o[b, t, h, j] += query * C[c, j]
            norm = max(abs(norm), math.exp(-m))
            for j in range(V):
                o[b, t, h, j] /= norm
    return o


@inlined
def erase_and_write(S: Array, decay: float, beta: float, k: Array, v: Array, error: Array) -> None:
    """`S = decay S`, then one delta rule on it; `error (V)` is scratch."""
    K, V = S.shape
    for j in range(V):
        error[j] = v[j]
    for i in range(K):
        for j in range(V):
            S[i, j] *= decay
            error[j] -= k[i] * S[i, j]
    for i in range(K):
        driven = beta * k[i]
        for j in range(V):
            S[i, j] += driven * error[j]


@inlined
def read(q: Array, S: Array, o: Array) -> None:
    """`o = q S`, where `o` is zero."""
    for i in range(S.shape[0]):
        for j in range(S.shape[1]):
            o[j] += q[i] * S[i, j]


@parallel
def gated_deltanet(q: Array, k: Array, v: Array, g: Array, beta: Array) -> Array:
    B, T, H, K = k.shape
    V, o = v.shape[3], np.zeros_like(v)
    for row in numba.prange(B * H):
        b, h = row // H, row % H
        S, error = np.zeros((K, V), np.float32), np.empty(V, np.float32)
        for t in range(T):
            erase_and_write(S, math.exp(g[b, t, h]), beta[b, t, h], k[b, t, h], v[b, t, h], error)
            read(q[b, t, h], S, o[b, t, h])
    return o


@parallel
def deltaproduct(q: Array, k: Array, v: Array, beta: Array, g: Array) -> Array:
    B, T, H, factors, K = k.shape
    V, o = v.shape[4], np.zeros((B, T, H, v.shape[4]), np.float32)
    for row in numba.prange(B * H):
        b, h = row // H, row % H
        S, error = np.zeros((K, V), np.float32), np.empty(V, np.float32)
        for t in range(T):
            decay = math.exp(g[b, t, h])
            for j in range(factors):
                erase_and_write(S, decay, beta[b, t, h, j], k[b, t, h, j], v[b, t, h, j], error)
                decay = np.float32(1)
            read(q[b, t, h], S, o[b, t, h])
    return o


LOOPS: dict[str, Callable[..., Array]] = {
    "linear_scan": linear_scan,
    "rg_lru": rg_lru,
    "mingru": mingru,
    "mamba": mamba,
    "gla": gla,
    "mlstm": mlstm,
    "gated_deltanet": gated_deltanet,
    "deltaproduct": deltaproduct,
}
