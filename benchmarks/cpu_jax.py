"""The same recurrences by `jax.lax.scan` and `jax.lax.associative_scan`, jitted. Importing this needs jax.

Arguments and results are arrays of the same names and shapes as those of `cpu_eager.py`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

jax: Any = importlib.import_module("jax")
lax, nn, np = jax.lax, jax.nn, jax.numpy

VERSION: str = jax.__version__
Array = Any
Step = Callable[[Any, Any], tuple[Any, Any]]
# How a scan is run: so many steps unrolled, and with boundaries of so many steps beyond which the backward pass
# computes states again (0: all states are kept).
Manner = tuple[int, int]
MANNERS: dict[str, Manner] = {"plain": (1, 0), "unrolled 8": (8, 0), "recomputed 64": (1, 64)}


def scanned(step: Step, start: Any, columns: tuple[Array, ...], manner: Manner) -> Array:
    """The outputs `(B, T, ...)` of `step` over `columns` `(B, T, ...)`."""
    unroll, block = manner
    columns = tuple(np.moveaxis(column, 1, 0) for column in columns)
    length = columns[0].shape[0]
    if block and length % block == 0:
        blocks = tuple(column.reshape(-1, block, *column.shape[1:]) for column in columns)
        inner = jax.checkpoint(lambda state, part: lax.scan(step, state, part))
        outputs = lax.scan(inner, start, blocks)[1]
        outputs = outputs.reshape(length, *outputs.shape[2:])
    else:
        outputs = lax.scan(step, start, columns, unroll=unroll)[1]
    return np.moveaxis(outputs, 0, 1)


def read(q: Array, S: Array) -> Array:
    """`(B, H, K)` and `(B, H, K, V)` to `(B, H, V)`."""
    return np.einsum("bhk,bhkv->bhv", q, S)


def outer(k: Array, v: Array) -> Array:
    return k[..., None] * v[..., None, :]


def memory(k: Array, v: Array) -> Array:
    """A state `(B, H, K, V)` for inputs `(B, T, H, ..., K)` and `(B, T, H, ..., V)`."""
    return np.zeros((k.shape[0], k.shape[2], k.shape[-1], v.shape[-1]), k.dtype)


def affine(manner: Manner | None, a: Array, b: Array) -> Array:
    """All `h = a h + b` from zero along axis 1; by the associative scan without a manner."""
    if manner is None:
        return lax.associative_scan(lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1]), (a, b), axis=1)[1]

    def step(h: Array, column: tuple[Array, Array]) -> tuple[Array, Array]:
        h = column[0] * h + column[1]
        return h, h

    return scanned(step, np.zeros_like(b[:, 0]), (a, b), manner)


def linear_scan(manner: Manner | None, a: Array, x: Array) -> Array:
    return affine(manner, a, x)


def rg_lru(manner: Manner | None, x: Array, r: Array, i: Array, lam: Array) -> Array:
    log_a = -8 * nn.softplus(lam) * nn.sigmoid(r)
    return affine(manner, np.exp(log_a), np.sqrt(-np.expm1(2 * log_a)) * (nn.sigmoid(i) * x))


def mingru(manner: Manner | None, z: Array, x: Array) -> Array:
    gate = nn.sigmoid(z)
    return affine(manner, 1 - gate, gate * x)


def mamba(manner: Manner | None, x: Array, dt: Array, B: Array, C: Array, A_log: Array, skip: Array) -> Array:
    delta, A = nn.softplus(dt), -np.exp(A_log)
    if manner is None:
        h = affine(None, np.exp(delta[..., None] * A), (delta * x)[..., None] * B[:, :, None])
        return np.einsum("btdn,btn->btd", h, C) + skip * x

    def step(h: Array, column: tuple[Array, ...]) -> tuple[Array, Array]:
        delta_t, driven_t, B_t, C_t = column
        h = np.exp(delta_t[..., None] * A) * h + outer(driven_t, B_t)
        return h, np.einsum("bdn,bn->bd", h, C_t)

    start = np.zeros((x.shape[0], *A.shape), x.dtype)
    return scanned(step, start, (delta, delta * x, B, C), manner) + skip * x


def gla(manner: Manner, q: Array, k: Array, v: Array, gk: Array) -> Array:
    def step(S: Array, column: tuple[Array, ...]) -> tuple[Array, Array]:
        q_t, k_t, v_t, decay = column
        S = decay[..., None] * S + outer(k_t, v_t)
        return S, read(q_t, S)

    return scanned(step, memory(k, v), (q, k, v, np.exp(gk)), manner)


def mlstm(manner: Manner, q: Array, k: Array, v: Array, i: Array, f: Array) -> Array:
    def step(state: tuple[Array, ...], column: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        C, n, m = state
        q_t, k_t, v_t, i_t, log_f = column
        new = np.maximum(log_f + m, i_t)
        decay, driven = np.exp(log_f + m - new)[..., None], np.exp(i_t - new)[..., None] * k_t
        C, n = decay[..., None] * C + outer(driven, v_t), decay * n + driven
        norm = np.maximum(np.abs((q_t * n).sum(-1)), np.exp(-new))
        return (C, n, new), read(q_t, C) / norm[..., None]

    start = (memory(k, v), np.zeros_like(k[:, 0]), np.full_like(i[:, 0], -np.inf))
    return scanned(step, start, (q, k, v, i, nn.log_sigmoid(f)), manner)


def gated_deltanet(manner: Manner, q: Array, k: Array, v: Array, g: Array, beta: Array) -> Array:
    def step(S: Array, column: tuple[Array, ...]) -> tuple[Array, Array]:
        q_t, k_t, v_t, decay, driven = column
        S = decay[..., None, None] * S
        S = S + outer(driven, v_t - read(k_t, S))
        return S, read(q_t, S)

    return scanned(step, memory(k, v), (q, k, v, np.exp(g), beta[..., None] * k), manner)


def deltaproduct(manner: Manner, q: Array, k: Array, v: Array, beta: Array, g: Array) -> Array:
    def step(S: Array, column: tuple[Array, ...]) -> tuple[Array, Array]:
        q_t, k_t, v_t, decay, driven = column
        S = decay[..., None, None] * S
        for j in range(k.shape[-2]):
            S = S + outer(driven[:, :, j], v_t[:, :, j] - read(k_t[:, :, j], S))
        return S, read(q_t, S)

    return scanned(step, memory(k, v), (q, k, v, np.exp(g), beta[..., None] * k), manner)


def gru(manner: Manner, x: Array, W: Array, U: Array, b_x: Array, b_h: Array) -> Array:
    def step(h: Array, x_t: Array) -> tuple[Array, Array]:
        (x_r, x_z, x_n), (u_r, u_z, u_n) = np.split(x_t, 3, -1), np.split(h @ U.T + b_h, 3, -1)
        z = nn.sigmoid(x_z + u_z)
        h = (1 - z) * np.tanh(x_n + nn.sigmoid(x_r + u_r) * u_n) + z * h
        return h, h

    return scanned_layer(step, np.zeros_like(x[:, 0]), x @ W.T + b_x, manner)


def lstm(manner: Manner, x: Array, W: Array, U: Array, b_x: Array, b_h: Array) -> Array:
    def step(state: tuple[Array, Array], x_t: Array) -> tuple[tuple[Array, Array], Array]:
        i, f, g, o = np.split(x_t + state[0] @ U.T, 4, -1)
        c = nn.sigmoid(f) * state[1] + nn.sigmoid(i) * np.tanh(g)
        h = nn.sigmoid(o) * np.tanh(c)
        return (h, c), h

    zero = np.zeros_like(x[:, 0])
    return scanned_layer(step, (zero, zero), x @ W.T + b_x + b_h, manner)


def scanned_layer(step: Step, start: Any, gates: Array, manner: Manner) -> Array:
    return scanned(lambda state, column: step(state, column[0]), start, (gates,), manner)


def step_of_gated_deltanet(S: Array, q: Array, k: Array, v: Array, g: Array, beta: Array) -> tuple[Array, Array]:
    """One token: `S (B, H, K, V)`, `q, k (B, H, K)`, `v (B, H, V)`, `g, beta (B, H)` to `o (B, H, V)` and `S`."""
    S = np.exp(g)[..., None, None] * S
    S = S + outer(beta[..., None] * k, v - read(k, S))
    return read(q, S), S


SCANS: dict[str, Callable[..., Array]] = {
    function.__name__: function
    for function in (linear_scan, rg_lru, mingru, mamba, gla, mlstm, gated_deltanet, deltaproduct, gru, lstm)
}
ASSOCIATIVE = ("linear_scan", "rg_lru", "mingru", "mamba")


class Jitted:
    """A function compiled for its first arguments: called with dicts of arrays, and a cotangent to be trained."""

    def __init__(self, function: Callable[..., Array], manner: Manner | None) -> None:
        self.function = functools.partial(function, manner)
        self.forward = jax.jit(lambda arguments: self.function(**arguments))
        self.training = jax.jit(self.pulled_back)

    def pulled_back(self, arguments: dict[str, Array], cotangent: Array) -> dict[str, Array]:
        return jax.vjp(lambda given: self.function(**given), arguments)[1](cotangent)[0]
