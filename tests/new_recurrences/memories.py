"""New recurrences with matrices for states: decays, reflections, inner gradients, routing, shifting."""

from __future__ import annotations

import numpy as np

from tests.new_recurrences.cases import BOTH, SEQUENTIAL, STEPS, Arrays, case, over_time, sigmoid


@case(
    """
recurrence two_speeds:
    input  q[K], k[K], v[V], slow[K] in (0, 1), fast[K] in (0, 1)
    state  S[K, V], F[K, V], z[K] = 1
    S, F = slow * S + outer(k, v), fast * F + outer(k, v)
    z = slow * z + abs(k)
    output o[V] = (q @ S - q @ F) / (1 + abs(q @ z))
    """,
    BOTH,
)
def two_speeds(x: Arrays, w: Arrays) -> Arrays:
    S, F, z, found = np.zeros((3, 2)), np.zeros((3, 2)), np.ones(3), []
    for q, k, v, slow, fast in zip(x["q"], x["k"], x["v"], x["slow"], x["fast"], strict=True):
        S, F = slow[:, None] * S + np.outer(k, v), fast[:, None] * F + np.outer(k, v)
        z = slow * z + np.abs(k)
        found.append({"o": (q @ S - q @ F) / (1 + np.abs(q @ z))})
    return over_time(found)


@case(
    """
recurrence reflections(n=3):
    input  q[K], k[n, K], v[n, V], beta[n] in (0, 2), g <= 0
    state  S[K, V]
    for j in n:
        u = l2norm(k[j])
        S = S - beta[j] * outer(u, u @ S)
        if j == n - 1:
            S = exp(g) * S
        S += beta[j] * outer(u, v[j])
    output o[V] = q @ S
    """,
    BOTH,
)
def reflections(x: Arrays, w: Arrays) -> Arrays:
    S, found = np.zeros((3, 2)), []
    for t in range(STEPS):
        for j in range(3):
            u = x["k"][t, j] / np.linalg.norm(x["k"][t, j])
            S = S - x["beta"][t, j] * np.outer(u, u @ S)
            S = S * np.exp(x["g"][t]) if j == 2 else S
            S = S + x["beta"][t, j] * np.outer(u, x["v"][t, j])
        found.append({"o": x["q"][t] @ S})
    return over_time(found)


@case(
    """
recurrence inner_descent:
    input  q[K], k[K], v[V], rate in (0, 0.1)
    param  W[K, V]
    state  S[K, V] = W
    error = tanh(k @ S) - v
    S = S - rate * grad(0.5 * sumsq(error) + 0.25 * sum(S ** 4), S)
    output o[V] = tanh(q @ S)
    """,
    SEQUENTIAL,
)
def inner_descent(x: Arrays, w: Arrays) -> Arrays:
    S, found = w["W"], []
    for q, k, v, rate in zip(x["q"], x["k"], x["v"], x["rate"], strict=True):
        y = np.tanh(k @ S)
        S = S - rate * (np.outer(k, (y - v) * (1 - y**2)) + S**3)
        found.append({"o": np.tanh(q @ S)})
    return over_time(found)


@case(
    """
recurrence inner_ridge:
    input  q[K], k[K], v[V], rate in (0, 0.1)
    state  S[K, V], M[K, V]
    M = 0.9 * M + grad(0.5 * sumsq(k @ S - v) + 0.1 * sumsq(S), S)
    S = S - rate * M
    output o[V] = q @ S
    """,
    BOTH,
)
def inner_ridge(x: Arrays, w: Arrays) -> Arrays:
    S, M, found = np.zeros((3, 2)), np.zeros((3, 2)), []
    for q, k, v, rate in zip(x["q"], x["k"], x["v"], x["rate"], strict=True):
        M = 0.9 * M + np.outer(k, k @ S - v) + 0.2 * S
        S = S - rate * M
        found.append({"o": q @ S})
    return over_time(found)


@case(
    """
recurrence shift_register(n=4):
    input  x[D], a in (0, 1)
    state  R[n, D] = 0.25
    for j in n - 1:
        R[n - 1 - j] = R[n - 2 - j]
    R[0] = x
    R[1] += a * R[3]
    R[2, d] = R[2, d] * a + x[d]
    output o[D] = mean(R, axis=n), last = R[3]
    """,
    BOTH,
)
def shift_register(x: Arrays, w: Arrays) -> Arrays:
    R, found = np.full((4, 4), 0.25), []
    for value, a in zip(x["x"], x["a"], strict=True):
        R = np.concatenate([value[None], R[:3]])
        R[1] = R[1] + a * R[3]
        R[2] = a * R[2] + value
        found.append({"o": R.mean(0), "last": R[3].copy()})
    return over_time(found)


@case(
    """
recurrence mini_batch(b=3):
    input  q[K], k[K], v[V], rate in (0, 0.2)
    state  W[K, V] = 0.1
    anchor = hold(W, every=b)
    scale = hold(rate, every=2)
    W = W - scale * grad(sumsq(k @ anchor - v), anchor)
    output o[V] = q @ W
    """,
    BOTH,
)
def mini_batch(x: Arrays, w: Arrays) -> Arrays:
    W, anchor, scale, found = np.full((3, 2), 0.1), np.zeros((3, 2)), 0.0, []
    for t, (q, k, v, rate) in enumerate(zip(x["q"], x["k"], x["v"], x["rate"], strict=True)):
        anchor = W if t % 3 == 0 else anchor
        scale = rate if t % 2 == 0 else scale
        W = W - scale * 2 * np.outer(k, k @ anchor - v)
        found.append({"o": q @ W})
    return over_time(found)


@case(
    """
def both(x, y): return x + y, x * y
def erase(S[A, B], k[A]):
    u = l2norm(k)
    for j in 2:
        S = S - outer(u, u @ S) / A
    return S

recurrence helped(c=3):
    input  q[K], k[K], v[V], x[D], g
    param  w[D]
    state  S[K, V], h[D]
    def mix(r): return where(r > 0, w * r, c * r)
    total, product = both(sigmoid(g), 0.5)
    S = product * erase(S, k) + outer(k, v)
    h = mix(x) + total / 4 * (erase(outer(h, h), x) @ x)
    output o[V] = q @ S, h
    """,
    SEQUENTIAL,
)
def helped(x: Arrays, w: Arrays) -> Arrays:
    def erase(S: np.ndarray, k: np.ndarray) -> np.ndarray:
        u = k / np.linalg.norm(k)
        for _ in range(2):
            S = S - np.outer(u, u @ S) / len(k)
        return S

    S, h, found = np.zeros((3, 2)), np.zeros(4), []
    for q, k, v, value, g in zip(x["q"], x["k"], x["v"], x["x"], x["g"], strict=True):
        S = 0.5 * sigmoid(g) * erase(S, k) + np.outer(k, v)
        mixed = np.where(value > 0, w["w"] * value, 3 * value)
        h = mixed + (sigmoid(g) + 0.5) / 4 * erase(np.outer(h, h), value) @ value
        found.append({"o": q @ S, "h": h})
    return over_time(found)


@case(
    """
recurrence routed(m=2):
    input  q[K], k[K], v[V], w[m], lam[H, K] in (0, 1)
    param  R[K, K], norms[H]
    state  S[m, K, V], P[H, K]
    gate = softmax(w)
    S[a, c, d] = (1 - gate[a]) * S[a, c, d] + gate[a] * k[c] * v[d]
    P[a, c] = lam[a, c] * P[a, c] + norms[a] * sum(R[c, d] * k[d], axis=d)
    output o[V] = gate @ (q @ S), p[H, K] = P
    """,
    BOTH,
)
def routed(x: Arrays, w: Arrays) -> Arrays:
    S, P, found = np.zeros((2, 3, 2)), np.zeros((2, 3)), []
    for t in range(STEPS):
        gate = np.exp(x["w"][t]) / np.exp(x["w"][t]).sum()
        S = (1 - gate)[:, None, None] * S + gate[:, None, None] * np.outer(x["k"][t], x["v"][t])
        P = x["lam"][t] * P + np.outer(w["norms"], w["R"] @ x["k"][t])
        found.append({"o": np.einsum("m,k,mkv->v", gate, x["q"][t], S), "p": P})
    return over_time(found)


@case(
    """
recurrence settling_memory:
    input  q[N], k[N], v[N], g <= 0
    state  S[N, N]
    S[i, j] = exp(g) * S[i, j] + k[i] * v[j]
    scale = 2 * (1 + norm(S))
    for y in fixpoint(q, tol=1e-13, max=200):
        y = q + tanh(y @ S) / scale
    output o[N] = y
    """,
    BOTH,
)
def settling_memory(x: Arrays, w: Arrays) -> Arrays:
    """What is read is the pattern at which the memory leaves its own recall alone, by Newton's method here."""
    S, found = np.zeros((3, 3)), []
    for q, k, v, g in zip(x["q"], x["k"], x["v"], x["g"], strict=True):
        S = np.exp(g) * S + np.outer(k, v)
        y, scale = q, 2 * (1 + np.linalg.norm(S))
        for _ in range(30):
            recalled = np.tanh(y @ S)
            slope = (1 - recalled**2)[:, None] * S.T / scale
            y = y - np.linalg.solve(np.eye(3) - slope, y - q - recalled / scale)
        found.append({"o": y})
    return over_time(found)


@case(
    """
recurrence implicit_momentum:
    input  x[D], a in (0, 0.5)
    param  b[D]
    state  h[D], m[D]
    for y in fixpoint(h, tol=1e-13, max=200):
        r = sin(y + b)
        y = h + 0.5 * m - a * (r + 0.5 * y - x)
    h, m = y, y - h
    output h, m
    """,
    SEQUENTIAL,
)
def implicit_momentum(x: Arrays, w: Arrays) -> Arrays:
    """A backward Euler step down a potential, with momentum: one equation for each place, by Newton's method here."""
    h, m, found = np.zeros(4), np.zeros(4), []
    for value, a in zip(x["x"], x["a"], strict=True):
        y = h
        for _ in range(30):
            error = y - (h + 0.5 * m - a * (np.sin(y + w["b"]) + 0.5 * y - value))
            y = y - error / (1 + a * (np.cos(y + w["b"]) + 0.5))
        h, m = y, y - h
        found.append({"h": h, "m": m})
    return over_time(found)
